/* File names that NUL bytes separate, as `find -print0` writes them, read one by one. */
#ifndef PS_BASE_NAMES0_H
#define PS_BASE_NAMES0_H

typedef struct ps_names0 ps_names0;

/* Opens a file, or a pipe; "-" is stdin. NULL with the error recorded. */
ps_names0 *ps_names0_open(const char *path);
void ps_names0_close(ps_names0 *names);

/*
 * The next name, as soon as it is there: 1 with *name, valid until the next call; 0 at the end; or
 * an error, also for an empty name and for one longer than a path can be.
 */
int ps_names0_next(ps_names0 *names, const char **name);

#endif
