/* --help and suggestions for misspelt options. */
#ifndef PS_BASE_OPTHELP_H
#define PS_BASE_OPTHELP_H

#include "base/opt.h"

/* Prints usage, options with their defaults, and examples to stdout. */
void ps_opt_print_help(const struct ps_command *command);

/*
 * Prints the options to stdout for tools/completion.awk, one a line, tab-separated: kind, letter
 * or nothing, name, argument, help. The kind is "flag", "words" (the argument lists them, "a|b"),
 * "file" or "other"; "operand" is the first operand, of which only the words are given. A flag that
 * is on has the name "no-NAME".
 */
void ps_opt_print_table(const struct ps_command *command);

/* Prints the text up to its first newline, of which `column` is where it begins, in lines of 80
 * columns; all but the first are indented. */
void ps_print_wrapped(const char *text, int column, int indent);

/* The option name closest to name[0..length), or NULL if none is close. */
const char *ps_opt_nearest(const struct ps_command *command, const char *name, size_t length);

#endif
