/* A zstd frame around what something else reads or writes. */
#ifndef PS_EVAL_ZSTREAM_H
#define PS_EVAL_ZSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

bool ps_is_zstd(const void *bytes, size_t length);

/*
 * Unpacks all frames into fresh memory; free(*out). `name` is for messages. Refuses what is cut
 * short or fails its checksum, and what unpacks to more than 64 MiB and a thousand times its size.
 */
int ps_zstd_unpack(const char *name, const void *bytes, size_t length, void **out,
                   size_t *out_length);

/*
 * One frame, with its content's size and a checksum, of what write() puts into its stream. write()
 * is called twice, first to measure, and must write the same both times.
 */
int ps_zstd_write(FILE *stream, int level, int (*write)(void *context, FILE *stream),
                  void *context);

#endif
