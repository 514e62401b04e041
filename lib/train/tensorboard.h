/*
 * TensorBoard event files, scalars only: TFRecords (length, masked CRC-32C, data, masked CRC-32C)
 * of protobuf Event messages.
 */
#ifndef PS_TRAIN_TENSORBOARD_H
#define PS_TRAIN_TENSORBOARD_H

#include "train/eventlog.h"

/* Writes the version record that starts an event file. */
int ps_tensorboard_begin(struct ps_growing *file);
/* Appends a scalar with the current time. */
int ps_tensorboard_scalar(struct ps_growing *file, const char *tag, int64_t step, double value);

/* CRC-32C (Castagnoli), RFC 3720 appendix B.4. */
uint32_t ps_crc32c(const void *bytes, size_t length);

#endif
