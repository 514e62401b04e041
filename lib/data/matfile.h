/* MATLAB files that are in memory: arrays of structs with numbers and short texts (matio). */
#ifndef PS_DATA_MATFILE_H
#define PS_DATA_MATFILE_H

#include <stddef.h>

typedef struct ps_mat ps_mat;

/* Opens `length` bytes that are copied; `name` is for messages, and copied. */
ps_mat *ps_mat_open(const char *name, const void *bytes, size_t length);
void ps_mat_close(ps_mat *mat);

/* Reads the variable and makes it the current one; *count is its number of elements. */
int ps_mat_read(ps_mat *mat, const char *variable, size_t *count);

/* Field of element `index` of the current struct array, as a whole number in least..most. */
int ps_mat_number(const ps_mat *mat, size_t index, const char *field, long least, long most,
                  long *value);

/*
 * Field of element `index`, or the element itself if field is NULL (cell array), as text. free()
 * *text.
 */
int ps_mat_text(const ps_mat *mat, size_t index, const char *field, char **text);

#endif
