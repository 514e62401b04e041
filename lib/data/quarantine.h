/* Images that cannot be used: named in the log, and listed in a file where one is asked for. */
#ifndef PS_DATA_QUARANTINE_H
#define PS_DATA_QUARANTINE_H

#include "base/out.h"

struct ps_quarantine {
    ps_out *out;  /* NULL without a file */
    size_t count; /* images so far */
};

/* `path` NULL: no file; then images that cannot be used are an error at the end. */
int ps_quarantine_open(struct ps_quarantine *quarantine, const char *path);

/* Adds an image; `archive` and `class_name` may be "". */
int ps_quarantine_add(struct ps_quarantine *quarantine, const char *path, const char *archive,
                      const char *class_name, const char *reason);

/*
 * Ends the list, and writes the file unless `rc` is an error, which is returned. Fails if none of
 * `all` images can be used, or if some cannot and no file was given; `tool` is the program to give
 * one to.
 */
int ps_quarantine_close(struct ps_quarantine *quarantine, int rc, size_t all, const char *tool);

#endif
