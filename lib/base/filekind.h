/* What a file is, for messages about files that are something else than expected. */
#ifndef PS_BASE_FILEKIND_H
#define PS_BASE_FILEKIND_H

#include <stdbool.h>
#include <stddef.h>

/* "a PNG picture", "comma-separated text" ...; NULL if it is nothing known. */
const char *ps_file_kind(const void *bytes, size_t length);

/*
 * Fails with PS_EFORMAT: "NAME: this is a PNG picture, not WANTED"; where the kind is not known,
 * "NAME: not WANTED".
 */
int ps_fail_kind(const char *name, const void *bytes, size_t length, const char *wanted);

/* Judged by its first kilobytes: has no control characters but white space. */
bool ps_is_text(const void *bytes, size_t length);

#endif
