#include "base/json.h"
#include "base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

static _Thread_local bool failed;

static void *allocate(size_t size)
{
    void *memory = malloc(size);
    failed |= !memory;
    return memory;
}

static void set_allocator(void)
{
    json_set_alloc_funcs(allocate, free);
}

static void begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_allocator);
    failed = false;
}

char *ps_json_dump(const json_t *json, size_t flags)
{
    begin();
    char *text = json_dumps(json, flags);
    if (text && !failed)
        return text;
    free(text);
    ps_fail(PS_ENOMEM, "out of memory");
    return NULL;
}

json_t *ps_json_load(const char *text, size_t length, size_t flags, const char *what)
{
    json_error_t error;
    begin();
    json_t *json = json_loadb(text, length, flags, &error);
    if (json && !failed)
        return json;
    json_decref(json);
    if (failed)
        ps_fail(PS_ENOMEM, "out of memory");
    else
        ps_fail(PS_EFORMAT, "%s: %s", what, error.text);
    return NULL;
}
