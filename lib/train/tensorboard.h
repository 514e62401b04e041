/*
 * TensorBoard event files: TFRecords (length, masked CRC-32C, bytes, masked CRC-32C) of Event
 * messages in the protobuf wire format; only scalars.
 */
#ifndef PS_TRAIN_TENSORBOARD_H
#define PS_TRAIN_TENSORBOARD_H

#include "train/eventlog.h"

/* The record that begins every event file. */
int ps_tensorboard_begin(struct ps_growing *file);
/* One scalar; the time is now. */
int ps_tensorboard_scalar(struct ps_growing *file, const char *tag, int64_t step, double value);

/* CRC-32C (Castagnoli), RFC 3720 appendix B.4. */
uint32_t ps_crc32c(const void *bytes, size_t length);

#endif
