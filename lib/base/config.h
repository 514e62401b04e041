/*
 * Settings from files of "name = value" lines: --config FILE, and options that name a file which
 * comes with the programs, as --recipe does. Such files may name one another by the same option.
 */
#ifndef PS_BASE_CONFIG_H
#define PS_BASE_CONFIG_H

#include "base/opt.h"

/* Reads the files that the command line names, in their order, so that the last wins. */
int ps_config_read(struct ps_command *command, int argc, char **argv);

/* Prints the names in a folder of such files, each with the comment that its file begins with. */
int ps_config_print_library(const char *library);

#endif
