#include "base/mem.h"
#include "base/err.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *ps_calloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory)
        ps_fail(PS_ENOMEM, "out of memory (%zu x %zu bytes)", count, size);
    return memory;
}

char *ps_strdup(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        ps_fail(PS_ENOMEM, "out of memory (%zu bytes)", strlen(text));
    return copy;
}

int ps_compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t ps_texts_unique(const char **texts, size_t count)
{
    size_t kept = 0;
    if (count)
        qsort(texts, count, sizeof *texts, ps_compare_texts);
    for (size_t i = 0; i < count; i++)
        if (!kept || strcmp(texts[i], texts[kept - 1]) != 0)
            texts[kept++] = texts[i];
    return kept;
}

char *ps_asprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length >= 0)
        return text;
    ps_fail(PS_ENOMEM, "out of memory");
    return NULL;
}

int ps_grow(void *array, size_t *capacity, size_t need, size_t size)
{
    void **slot = array;
    if (need <= *capacity)
        return PS_OK;
    size_t wanted = *capacity + *capacity / 2;
    if (wanted < need)
        wanted = need;
    if (wanted < 16)
        wanted = 16;
    if (wanted > SIZE_MAX / size)
        return ps_fail(PS_ENOMEM, "out of memory (%zu x %zu bytes)", wanted, size);
    void *grown = realloc(*slot, wanted * size);
    if (!grown)
        return ps_fail(PS_ENOMEM, "out of memory (%zu x %zu bytes)", wanted, size);
    *slot = grown;
    *capacity = wanted;
    return PS_OK;
}

int ps_text_add(struct ps_text *text, const void *bytes, size_t length)
{
    int rc = ps_grow(&text->data, &text->capacity, text->length + length + 1, 1);
    if (rc)
        return rc;
    if (length)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
    return PS_OK;
}

int ps_text_printf(struct ps_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *piece = NULL;
    int length = vasprintf(&piece, format, args);
    va_end(args);
    if (length < 0)
        return ps_fail(PS_ENOMEM, "out of memory");
    int rc = ps_text_add(text, piece, (size_t)length);
    free(piece);
    return rc;
}

void ps_text_free(struct ps_text *text)
{
    free(text->data);
    *text = (struct ps_text){0};
}
