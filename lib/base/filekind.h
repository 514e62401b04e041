/* What a file is, for messages about files that are something else than expected. */
#ifndef PS_BASE_FILEKIND_H
#define PS_BASE_FILEKIND_H

#include <stdbool.h>
#include <stddef.h>

/* "a PNG picture", "comma-separated text" ...; NULL if it is nothing known. */
const char *ps_file_kind(const void *bytes, size_t length);

/* A zip whose first member is named "x.npy". */
bool ps_is_npz(const void *bytes, size_t length);

/* Judged by its first kilobytes: has no control characters but white space. */
bool ps_is_text(const void *bytes, size_t length);

#endif
