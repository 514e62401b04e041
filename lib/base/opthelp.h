/* The text side of option tables: --help and suggestions. */
#ifndef PS_BASE_OPTHELP_H
#define PS_BASE_OPTHELP_H

#include "base/opt.h"

/* Usage, options with defaults, examples, to stdout. */
void ps_opt_print_help(const struct ps_command *command);

/* The option whose name is nearest to name[0..length), NULL if none is near. */
const char *ps_opt_nearest(const struct ps_command *command, const char *name, size_t length);

#endif
