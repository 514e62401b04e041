/* Running other programs. */
#ifndef PS_BASE_CHILD_H
#define PS_BASE_CHILD_H

#include "base/mem.h"

/*
 * Runs argv, a program of PATH, with `input` as its standard input, and appends its standard output
 * to `output`; its standard error is discarded. Fails with the program's name if it cannot be
 * started, takes longer than `seconds`, writes more than `limit` bytes or does not end with status
 * 0.
 */
int ps_child_filter(const char *const *argv, const struct ps_text *input, double seconds,
                    size_t limit, struct ps_text *output);

#endif
