/* Parsing annotation files of raw data sets: lines, fields and numbers. */
#ifndef PS_DATA_LINES_H
#define PS_DATA_LINES_H

#include "base/err.h"

#include <stddef.h>

/* Splits a text in place; start with {.next = text, .where = file name for messages}. */
struct ps_lines {
    char *next;
    const char *where;
    size_t number; /* of the line last returned, from 1 */
};

/*
 * Splits the next non-blank line into fields at white space or, if not 0, at `separator`. Field
 * `most` takes the rest of the line. Returns the number of fields; 0 at the end.
 */
size_t ps_lines_next(struct ps_lines *lines, char separator, char **fields, size_t most);

/* Parses an integer in least..most; error messages name `what` and the line. */
int ps_lines_number(const struct ps_lines *lines, const char *what, const char *text, long least,
                    long most, long *value);

/* Records "WHERE:LINE: EXPECTED" as PS_EFORMAT. */
#define ps_lines_fail(lines, expected)                                                             \
    ps_fail(PS_EFORMAT, "%s:%zu: %s", (lines)->where, (lines)->number, expected)

#endif
