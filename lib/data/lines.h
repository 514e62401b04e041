/* Annotation files of raw data sets: lines of fields, and numbers in them. */
#ifndef PS_DATA_LINES_H
#define PS_DATA_LINES_H

#include "base/err.h"

#include <stddef.h>

/* A text that is cut in place; begin with {.next = text, .where = name for messages}. */
struct ps_lines {
    char *next;
    const char *where;
    size_t number; /* of the line last returned, from 1 */
};

/*
 * Cuts the next line that is not blank into fields, at blanks or, if not 0, at `separator` (then
 * a field may be "quoted", with "" for a quote in it). The last of `most` fields takes the rest of
 * the line. Returns the number of fields; 0 at the end.
 */
size_t ps_lines_next(struct ps_lines *lines, char separator, char **fields, size_t most);

/* Parses a whole number in least..most; a message names `what` and the line. */
int ps_lines_number(const struct ps_lines *lines, const char *what, const char *text, long least,
                    long most, long *value);

/* "WHERE:LINE: EXPECTED" as PS_EFORMAT. */
#define ps_lines_fail(lines, expected)                                                             \
    ps_fail(PS_EFORMAT, "%s:%zu: %s", (lines)->where, (lines)->number, expected)

#endif
