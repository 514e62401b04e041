/*
 * What a run leaves to read: log.jsonl (one JSON object a line; the same command gives the same
 * bytes), timing.jsonl (seconds, rates, memory: differs from run to run), and a TensorBoard event
 * file with the reference's tags. man 5 ps-log.
 */
#ifndef PS_TRAIN_EVENTLOG_H
#define PS_TRAIN_EVENTLOG_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* A file that grows, and that a resumed run cuts back to where its checkpoint was made. */
struct ps_growing {
    FILE *stream; /* NULL: closed */
    char *path;
};

/* Opens folder/name and keeps its first `keep` bytes, all if negative; fails where it is shorter.
 */
int ps_growing_open(struct ps_growing *file, const char *folder, const char *name, int64_t keep);
int ps_growing_add(struct ps_growing *file, const void *bytes, size_t length);
/* Writes everything to the disk; the file's length, or negative. */
int64_t ps_growing_sync(struct ps_growing *file);
/* Reports what could not be written. */
int ps_growing_close(struct ps_growing *file);

/* Adds one object as a line and releases it; NULL is an error (json_pack failed). */
int ps_eventlog_add(struct ps_growing *file, json_t *object);

#endif
