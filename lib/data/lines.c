#include "data/lines.h"
#include "base/err.h"
#include "base/number.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The next line without its end and the `blanks` around it, or NULL. */
static char *next_line(struct ps_lines *lines, const char *blanks)
{
    if (lines->number == 0 && lines->next && !strncmp(lines->next, "\xef\xbb\xbf", 3))
        lines->next += 3;
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
    const char *blanks = separator == '\t' ? " " : " \t";
    const char *ends = separator ? (const char[]){separator, '\0'} : blanks;
    char *at = next_line(lines, blanks);
    size_t count = 0;
    while (at && count < most) {
        fields[count++] = at;
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
    if (!ps_parse_whole(text, least, most, value))
        return ps_fail(PS_EFORMAT, "%s:%zu: %s '%s' is not a number from %ld to %ld", lines->where,
                       lines->number, what, text, least, most);
    return PS_OK;
}
