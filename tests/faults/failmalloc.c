/*
 * For LD_PRELOAD: the FAIL_MALLOC-th allocation after the start of main() fails (0: none). The
 * number of allocations goes to the file FAIL_MALLOC_COUNT.
 */
#include <dlfcn.h>
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

typedef int main_function(int argc, char **argv, char **environment);
typedef int start_function(main_function *run, int argc, char **argv, void (*init)(void),
                           void (*end)(void), void (*loader_end)(void), void *stack);
static main_function *program;

static int counted_main(int argc, char **argv, char **environment)
{
    const char *text = getenv("FAIL_MALLOC");
    wanted = text ? strtol(text, NULL, 10) : 0;
    counting = true;
    return program(argc, argv, environment);
}

start_function __libc_start_main;
int __libc_start_main(main_function *run, int argc, char **argv, void (*init)(void),
                      void (*end)(void), void (*loader_end)(void), void *stack)
{
    start_function *start = (start_function *)dlsym(RTLD_NEXT, "__libc_start_main");
    program = run;
    return start(counted_main, argc, argv, init, end, loader_end, stack);
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
