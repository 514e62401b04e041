/* JSON by jansson, with out of memory as an error: jansson itself then silently drops text. */
#ifndef PS_BASE_JSON_H
#define PS_BASE_JSON_H

#include <jansson.h>
#include <stddef.h>

/* json_dumps; free() it. NULL with the error recorded if memory ran out. */
char *ps_json_dump(const json_t *json, size_t flags);

/* json_loadb; NULL with the error recorded, which begins with "what: " if it is not JSON. */
json_t *ps_json_load(const char *text, size_t length, size_t flags, const char *what);

#endif
