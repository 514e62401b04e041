#include "data/lines.h"
#include "base/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char blanks[] = " \t";

/* Cuts a quoted field in place; returns what follows its closing quote. */
static char *unquote(char *from, char **field)
{
    char *to = from++;
    *field = to;
    while (*from && (*from != '"' || from[1] == '"')) {
        from += *from == '"';
        *to++ = *from++;
    }
    char *rest = from + (*from == '"');
    *to = '\0';
    return rest;
}

/* The next line without its end, or NULL. */
static char *next_line(struct ps_lines *lines)
{
    while (lines->next && *lines->next) {
        char *line = lines->next;
        size_t length = strcspn(line, "\n");
        lines->next = line[length] ? line + length + 1 : NULL;
        lines->number++;
        while (length && (line[length - 1] == '\r' || strchr(blanks, line[length - 1])))
            length--;
        line[length] = '\0';
        line += strspn(line, blanks);
        if (*line)
            return line;
    }
    return NULL;
}

size_t ps_lines_next(struct ps_lines *lines, char separator, char **fields, size_t most)
{
    char *at = next_line(lines);
    const char ends[] = {separator ? separator : ' ', separator ? '\0' : '\t', '\0'};
    size_t count = 0;
    while (at && count < most) {
        if (separator && *at == '"')
            at = unquote(at, &fields[count]);
        else
            fields[count] = at;
        count++;
        if (count < most)
            at += strcspn(at, ends);
        if (count == most || !*at)
            break;
        *at++ = '\0';
        if (!separator)
            at += strspn(at, blanks);
    }
    return count;
}

int ps_lines_number(const struct ps_lines *lines, const char *what, const char *text, long least,
                    long most, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    if (end == text || *end || errno || *value < least || *value > most)
        return ps_fail(PS_EFORMAT, "%s:%zu: %s '%s' is not a number from %ld to %ld", lines->where,
                       lines->number, what, text, least, most);
    return PS_OK;
}
