/* zstd compression of whole files. */
#ifndef PS_EVAL_ZSTREAM_H
#define PS_EVAL_ZSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

bool ps_is_zstd(const void *bytes, size_t length);

/*
 * Decompresses all frames into a new buffer; free(*out). `name` is for messages. Rejects truncated
 * or corrupt input, and output of more than 64 MiB that is over a thousand times the input.
 */
int ps_zstd_unpack(const char *name, const void *bytes, size_t length, void **out,
                   size_t *out_length);

/*
 * Compresses what write() writes into one frame with content size and checksum. write() is called
 * twice, the first time to measure, and must write the same bytes both times.
 */
int ps_zstd_write(FILE *stream, int level, int (*write)(void *context, FILE *stream),
                  void *context);

#endif
