/*
 * MATLAB files as text. matio can crash on damaged files, so it runs in a child process that sends
 * lines back.
 */
#ifndef PS_DATA_MATFILE_H
#define PS_DATA_MATFILE_H

#include <stddef.h>

/*
 * Reads a variable of a .mat file: the given `fields` (NULL-terminated) of a struct array, or, if
 * there are none, a cell array. *rows has one line per element, tab-separated: its number from 1,
 * then the values, numbers as %.17g, text with control characters replaced by spaces. free(*rows).
 * `name` is for messages.
 */
int ps_mat_rows(const char *name, const void *bytes, size_t length, const char *variable,
                const char *const *fields, char **rows);

#endif
