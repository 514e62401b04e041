/*
 * MATLAB files as text. matio, which reads them, can crash on a damaged file, so it runs in a
 * process of its own that hands back lines.
 */
#ifndef PS_DATA_MATFILE_H
#define PS_DATA_MATFILE_H

#include <stddef.h>

/*
 * Reads a variable from the `length` bytes of a .mat file: a struct array, of which `fields` (ends
 * with NULL) are taken, or a cell array, if there are none. *rows is one line for each element, to
 * be freed: its number from 1, then the values, all separated by tabs; numbers as %.17g, texts with
 * blanks for control characters. `name` is for messages.
 */
int ps_mat_rows(const char *name, const void *bytes, size_t length, const char *variable,
                const char *const *fields, char **rows);

#endif
