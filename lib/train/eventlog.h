/*
 * Append-only log files of a run (ps-log(5)): log.jsonl, one JSON object per line and reproducible
 * byte for byte; timing.jsonl with times, rates and memory; and a TensorBoard event file with the
 * reference's tags.
 */
#ifndef PS_TRAIN_EVENTLOG_H
#define PS_TRAIN_EVENTLOG_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* An append-only file, which a resumed run truncates to its length at the checkpoint. */
struct ps_growing {
    char *path; /* NULL: closed */
    int fd;
    int64_t length;
};

/* Opens folder/name, truncated to `keep` bytes (negative: its whole lines); fails if it is shorter.
 */
int ps_growing_open(struct ps_growing *file, const char *folder, const char *name, int64_t keep);
/* Appends all of it or, on failure, nothing. Nothing is done where the file is closed. */
int ps_growing_add(struct ps_growing *file, const void *bytes, size_t length);
/* Syncs to disk; returns the file's length, or an error. */
int64_t ps_growing_sync(struct ps_growing *file);
/* Fails if anything could not be written. */
int ps_growing_close(struct ps_growing *file);

/*
 * Adds a member to *object, which is released and becomes NULL where that fails: NaN has no JSON,
 * and memory may run out. `value` is consumed.
 */
void ps_eventlog_set(json_t **object, const char *name, json_t *value);

/* Appends the object as a line and releases it; NULL is an error (making it failed). */
int ps_eventlog_add(struct ps_growing *file, json_t *object);

#endif
