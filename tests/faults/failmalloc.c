/*
 * For LD_PRELOAD: the FAIL_MALLOC-th allocation of a process fails (0: none). The number of
 * allocations goes to the file FAIL_MALLOC_COUNT.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The allocator of glibc by its other names. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static long wanted;
static atomic_long count;
static atomic_bool counting;

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("FAIL_MALLOC");
    wanted = text ? atol(text) : 0;
    counting = true;
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("FAIL_MALLOC_COUNT");
    char text[32];
    counting = false;
    int length = snprintf(text, sizeof text, "%ld\n", (long)count);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;
    if (fd >= 0 && write(fd, text, (size_t)length) == length)
        close(fd);
}

static bool fails(void)
{
    if (!counting || atomic_fetch_add(&count, 1) + 1 != wanted)
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t items, size_t size)
{
    return fails() ? NULL : __libc_calloc(items, size);
}

void *realloc(void *memory, size_t size)
{
    return fails() ? NULL : __libc_realloc(memory, size);
}
