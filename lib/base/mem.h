/* Memory and strings. Sizes are checked for overflow; failure is recorded as PS_ENOMEM. */
#ifndef PS_BASE_MEM_H
#define PS_BASE_MEM_H

#include <stddef.h>

/* Zeroed memory for `count` elements of `size` bytes; NULL with the error recorded. free() it. */
void *ps_calloc(size_t count, size_t size);

/* A copy of `text`; NULL with the error recorded. free() it. */
char *ps_strdup(const char *text);

/* strcmp of elements of a (const char *) array, for qsort and bsearch. */
int ps_compare_texts(const void *a, const void *b);
/* Sorts texts[0..count) and keeps one of each; returns how many are left. */
size_t ps_texts_unique(const char **texts, size_t count);

/* sprintf into a new string; NULL with the error recorded. free() it. */
char *ps_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Ensures room for `need` elements of `size` bytes in *array, growing *capacity by a factor of 1.5.
 * New elements are not initialised. 0 or PS_ENOMEM (array unchanged).
 */
int ps_grow(void *array, size_t *capacity, size_t need, size_t size);

/* A growable string, NUL-terminated (`length` does not count the NUL). {0} is empty. */
struct ps_text {
    char *data; /* NULL while empty; owned */
    size_t length, capacity;
};
int ps_text_add(struct ps_text *text, const void *bytes, size_t length);
int ps_text_printf(struct ps_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void ps_text_free(struct ps_text *text);

#endif
