/* Fuzz target: an index of FAISS, read as ps-search reads it, and a search of what was accepted. */
#include "eval/index.h"
#include "base/guard.h"
#include "base/mem.h"
#include "eval/index_walk.h"

#include <omp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NEIGHBOURS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* FAISS loses what it has read of a file that it then refuses, and the program ends. */
const char *__lsan_default_suppressions(void); /* NOLINT: a name of the sanitizer's */
const char *__lsan_default_suppressions(void)  /* NOLINT */
{
    return "leak:faiss::";
}

/* In place of lib/base/guard.c: crashes of FAISS are for the fuzzer to see. */
void ps_guard_begin(const char *what)
{
    (void)what;
}

void ps_guard_end(void)
{
}

static void search(const ps_index *index)
{
    size_t dim = ps_index_dim(index);
    float *query = ps_calloc(dim, sizeof *query);
    if (!query)
        abort();
    query[0] = 1;
    int64_t row[NEIGHBOURS];
    float product[NEIGHBOURS];
    (void)ps_index_search(index, query, 1, NEIGHBOURS, row, product);
    free(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    (void)ps_index_walk(bytes, length); /* which reading does on a map, whose end is not guarded */
    int fd = memfd_create("fuzz", MFD_CLOEXEC); /* lists are mapped, which takes a file */
    if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
        abort();
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    omp_set_num_threads(1);
    ps_index *index = ps_index_read(path);
    close(fd);
    if (index)
        search(index);
    ps_index_free(index);
    return 0;
}
