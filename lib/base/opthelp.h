/* --help and suggestions for misspelt options. */
#ifndef PS_BASE_OPTHELP_H
#define PS_BASE_OPTHELP_H

#include "base/opt.h"

/* Prints usage, options with their defaults, and examples to stdout. */
void ps_opt_print_help(const struct ps_command *command);

/* Prints the text up to its first newline, of which `column` is where it begins, in lines of 80
 * columns; all but the first are indented. */
void ps_print_wrapped(const char *text, int column, int indent);

/* The option name closest to name[0..length), or NULL if none is close. */
const char *ps_opt_nearest(const struct ps_command *command, const char *name, size_t length);

#endif
