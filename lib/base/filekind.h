/* What a file is, for messages about files that are not what was expected. */
#ifndef PS_BASE_FILEKIND_H
#define PS_BASE_FILEKIND_H

#include <stdbool.h>
#include <stddef.h>

/* "a PNG picture", "comma-separated text" ...; NULL if unknown. */
const char *ps_file_kind(const void *bytes, size_t length);

/*
 * Fails with PS_EFORMAT: "NAME: this is a PNG picture, not WANTED"; where the kind is not known,
 * "NAME: not WANTED".
 */
int ps_fail_kind(const char *name, const void *bytes, size_t length, const char *wanted);

/* A zip whose first member is named "x.npy". */
bool ps_is_npz(const void *bytes, size_t length);

/* Are there no control characters but white space in the first kilobytes? */
bool ps_is_text(const void *bytes, size_t length);

#endif
