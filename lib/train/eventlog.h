/*
 * Append-only log files of a run (ps-log(5)): log.jsonl, one JSON object per line and reproducible
 * byte for byte; timing.jsonl with times, rates and memory; and a TensorBoard event file with the
 * reference's tags.
 */
#ifndef PS_TRAIN_EVENTLOG_H
#define PS_TRAIN_EVENTLOG_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* An append-only file, which a resumed run truncates to its length at the checkpoint. */
struct ps_growing {
    FILE *stream; /* NULL: closed */
    char *path;
};

/* Opens folder/name, truncated to `keep` bytes (negative: all); fails if it is shorter. */
int ps_growing_open(struct ps_growing *file, const char *folder, const char *name, int64_t keep);
int ps_growing_add(struct ps_growing *file, const void *bytes, size_t length);
/* Flushes to disk; returns the file's length, or an error. */
int64_t ps_growing_sync(struct ps_growing *file);
/* Fails if anything could not be written. */
int ps_growing_close(struct ps_growing *file);

/* Appends the object as a line and releases it; NULL is an error (json_pack failed). */
int ps_eventlog_add(struct ps_growing *file, json_t *object);

#endif
