#include "eval/index.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/guard.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/parallel.h"
#include "eval/embedding.h"
#include "eval/index_check.h"
#include "eval/index_walk.h"

#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <fcntl.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    MAP_LISTS = 8 | 0x646f0000, /* IO_FLAG_MMAP of faiss/index_io.h; the C API's number is stale */
    SLACK = 1 << 30 /* bytes that reading takes beyond what the file's length explains */
};

struct ps_index {
    FaissIndex *faiss;
    char *name;      /* for messages: "index 'HNSW32'", or the file */
    char *complaint; /* if FAISS crashes on it */
};

/* The complaint of an index of so many rows; rows 0: not known yet. */
static ps_index *new_index(char *name, size_t rows, size_t dim)
{
    ps_index *index = name ? ps_calloc(1, sizeof *index) : NULL;
    if (!index) {
        free(name);
        return NULL;
    }
    index->name = name;
    index->complaint = rows ? ps_asprintf("%s: FAISS crashes on it, for %zu rows of %zu dimensions",
                                          name, rows, dim)
                            : ps_asprintf("%s: FAISS crashes on it: the file is damaged", name);
    if (index->complaint)
        return index;
    ps_index_free(index);
    return NULL;
}

void ps_index_free(ps_index *index)
{
    if (!index)
        return;
    if (index->faiss)
        faiss_Index_free(index->faiss);
    free(index->name);
    free(index->complaint);
    free(index);
}

static int fail_faiss(const ps_index *index, int code)
{
    return ps_fail(code, "%s: %s", index->name, faiss_get_last_error());
}

/* FAISS's last message without the function and the line that it comes from. */
static const char *faiss_reason(void)
{
    const char *text = faiss_get_last_error(), *at = strstr(text, "Error: ");
    return at ? at + strlen("Error: ") : text;
}

static int set_parameters(FaissIndex *index, const char *parameters)
{
    FaissParameterSpace *space;
    if (faiss_ParameterSpace_new(&space))
        return -1;
    int failed = faiss_ParameterSpace_set_index_parameters(space, index, parameters);
    faiss_ParameterSpace_free(space);
    return failed;
}

int ps_index_tune(ps_index *index, const char *parameters)
{
    if (set_parameters(index->faiss, parameters))
        return fail_faiss(index, PS_EINVAL);
    const char *wrong = ps_index_fault(index->faiss);
    return wrong ? ps_fail(PS_EINVAL, "%s: %s does not work: %s", index->name, parameters, wrong)
                 : PS_OK;
}

/* FAISS allocates without end for graphs of less than two edges a node. */
static bool is_thin_graph(const char *factory)
{
    for (const char *at = factory; (at = strstr(at, "HNSW"));) {
        at += strlen("HNSW");
        int64_t edges;
        const char *number = at;
        if (ps_scan_whole(&number, &edges) && edges < 2)
            return true;
    }
    return false;
}

static int build(ps_index *index, const char *factory, const float *rows, size_t n, size_t dim)
{
    if (is_thin_graph(factory))
        return ps_fail(PS_EINVAL, "%s: HNSW needs at least 2 edges", index->name);
    const char *colon = strchr(factory, ':');
    char *kind = ps_asprintf("%.*s", (int)strcspn(factory, ":"), factory);
    if (!kind)
        return PS_ENOMEM;
    ps_guard_begin(index->complaint);
    int failed = faiss_index_factory(&index->faiss, (int)dim, kind, METRIC_INNER_PRODUCT) ||
                 faiss_Index_train(index->faiss, (idx_t)n, rows) ||
                 faiss_Index_add(index->faiss, (idx_t)n, rows) ||
                 (colon && set_parameters(index->faiss, colon + 1));
    ps_guard_end();
    free(kind);
    return failed ? fail_faiss(index, PS_EINVAL) : PS_OK;
}

ps_index *ps_index_build(const char *factory, const float *rows, size_t n, size_t dim, int threads)
{
    ps_index *index = new_index(ps_asprintf("index '%s'", factory), n, dim);
    if (!index)
        return NULL;
    int before = omp_get_max_threads();
    omp_set_num_threads(threads > 0 ? threads : ps_cpu_count());
    int rc = build(index, factory, rows, n, dim);
    omp_set_num_threads(before);
    if (!rc)
        return index;
    ps_index_free(index);
    return NULL;
}

/* What is to be read is refused memory from here on beyond some times its own length. */
static int limit_memory(size_t length, struct rlimit *before)
{
    void *bytes;
    size_t ignored;
    int rc = ps_file_read("/proc/self/statm", 4096, &bytes, &ignored);
    if (rc)
        return rc;
    rlim_t pages = strtoull(bytes, NULL, 10);
    free(bytes);
    getrlimit(RLIMIT_AS, before);
    struct rlimit limit = *before;
    rlim_t most = pages * (rlim_t)sysconf(_SC_PAGESIZE) + 8 * (rlim_t)length + SLACK;
    if (limit.rlim_cur > most) /* as "no limit" is */
        limit.rlim_cur = most;
    return setrlimit(RLIMIT_AS, &limit) ? ps_fail_errno("cannot limit memory") : PS_OK;
}

static int check_read(const ps_index *index, bool ends)
{
    const FaissIndex *faiss = index->faiss;
    if (!ends)
        return ps_fail(PS_EFORMAT, "%s: truncated, or longer than the index in it", index->name);
    if (faiss_Index_d(faiss) < 1 || faiss_Index_d(faiss) > PS_EMBEDDING_MAX_DIM ||
        faiss_Index_ntotal(faiss) < 1 || faiss_Index_ntotal(faiss) > UINT32_MAX ||
        !faiss_Index_is_trained(faiss))
        return ps_fail(PS_EFORMAT, "%s: an index without rows, or of a size that is not supported",
                       index->name);
    if (faiss_Index_metric_type(faiss) != METRIC_INNER_PRODUCT)
        return ps_fail(PS_EFORMAT,
                       "%s: compares by another metric than the inner product of unit-length rows",
                       index->name);
    const char *wrong = ps_index_fault(faiss);
    return wrong ? ps_fail(PS_EFORMAT, "%s: damaged: %s", index->name, wrong) : PS_OK;
}

/* What FAISS would believe. */
static int check_layout(const ps_index *index, FILE *stream, size_t length)
{
    if (!length)
        return ps_fail(PS_EFORMAT, "%s: an empty file is no index", index->name);
    void *bytes = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fileno(stream), 0);
    if (bytes == MAP_FAILED)
        return ps_fail_errno("%s: cannot read", index->name);
    const char *wrong = ps_index_walk(bytes, length);
    munmap(bytes, length);
    return wrong ? ps_fail(PS_EFORMAT, "%s: damaged, or no index of FAISS: %s", index->name, wrong)
                 : PS_OK;
}

/* From an open file of this length. */
static int read_from(ps_index *index, FILE *stream, size_t length)
{
    struct rlimit before;
    int rc = limit_memory(length, &before);
    if (rc)
        return rc;
    ps_guard_begin(index->complaint);
    rc = check_layout(index, stream, length);
    int failed = !rc && faiss_read_index(stream, MAP_LISTS, &index->faiss);
    if (failed)
        rc = ps_fail(PS_EFORMAT, "%s: truncated, damaged or no index of FAISS: %s", index->name,
                     faiss_reason());
    else if (!rc)
        rc = check_read(index, ftell(stream) == (long)length);
    ps_guard_end();
    setrlimit(RLIMIT_AS, &before);
    return rc;
}

ps_index *ps_index_read(const char *path)
{
    ps_index *index = new_index(ps_strdup(path), 0, 0);
    if (!index)
        return NULL;
    int fd = ps_fd_open(path, O_RDONLY | O_NONBLOCK); /* a FIFO is not waited for */
    size_t length = 0;
    int rc = fd < 0 ? ps_fail_errno("%s: cannot open", path) : ps_fd_regular(fd, path, &length);
    FILE *stream = rc ? NULL : fdopen(fd, "rb");
    if (!rc)
        rc = stream ? read_from(index, stream, length) : ps_fail_errno("%s: cannot open", path);
    if (stream)
        fclose(stream);
    else if (fd >= 0)
        close(fd);
    if (!rc)
        return index;
    ps_index_free(index);
    return NULL;
}

int ps_index_write(const ps_index *index, FILE *stream)
{
    const char *fault = ps_index_fault(index->faiss);
    if (fault)
        return ps_fail(PS_EINVAL, "%s: %s, so it is not written", index->name, fault);
    return faiss_write_index(index->faiss, stream) ? fail_faiss(index, PS_EBACKEND) : PS_OK;
}

size_t ps_index_rows(const ps_index *index)
{
    return (size_t)faiss_Index_ntotal(index->faiss);
}

size_t ps_index_dim(const ps_index *index)
{
    return (size_t)faiss_Index_d(index->faiss);
}

int ps_index_search(const ps_index *index, const float *query, size_t queries, size_t k,
                    int64_t *row, float *product)
{
    ps_guard_begin(index->complaint);
    int failed = faiss_Index_search(index->faiss, (idx_t)queries, query, (idx_t)k, product, row);
    ps_guard_end();
    if (failed)
        return fail_faiss(index, PS_EBACKEND);
    for (size_t i = 0; i < queries * k; i++)
        if (row[i] >= (int64_t)ps_index_rows(index) || (row[i] >= 0 && !isfinite(product[i])))
            return ps_fail(PS_EFORMAT, "%s: damaged: it finds row %lld of %zu, with product %g",
                           index->name, (long long)row[i], ps_index_rows(index),
                           (double)product[i]);
    return PS_OK;
}
