#include "base/ranks.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/plugin.h"

#include <stdlib.h>
#include <string.h>

static const struct ps_ranks_ops *ops; /* NULL: one process */
static int rank, count = 1;
static bool left; /* some rank has failed: no more exchanges */

/* Is this one of several processes, by what Open MPI, MPICH or Slurm put into the environment? */
static bool is_launched(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && strcmp(value, "1") != 0)
            return true;
    }
    return false;
}

static int check(int error)
{
    if (!error)
        return PS_OK;
    char text[256] = "";
    ops->text(error, text, sizeof text);
    left = true;
    return ps_fail(PS_EIO, "MPI: %s", text);
}

int ps_ranks_open(void)
{
    if (!is_launched())
        return PS_OK;
    ops = ps_plugin_load("ps-mpi.so", "ps_ranks_ops_mpi");
    if (!ops)
        return ps_fail(PS_ENOTSUP,
                       "started by mpirun: %s (build where mpicc is found, or start one "
                       "process)",
                       ps_error());
    if (ops->interface != PS_RANKS_INTERFACE) {
        ops = NULL;
        return ps_fail(PS_ENOTSUP, "ps-mpi.so belongs to another build");
    }
    int rc = check(ops->open(&rank, &count));
    if (!rc && rank > 0)
        ps_log_level(PS_LOG_QUIET);
    return rc;
}

void ps_ranks_close(void)
{
    if (ops)
        ops->close();
    ops = NULL;
    rank = 0;
    count = 1;
}

int ps_rank(void)
{
    return rank;
}

int ps_rank_count(void)
{
    return count;
}

static int first_failed(const int *codes)
{
    int at = 0;
    while (at < count && codes[at] >= 0)
        at++;
    return at;
}

static size_t begin_of_code(const void *context, size_t r)
{
    (void)context;
    return r * sizeof(int);
}

int ps_ranks_agree(int rc)
{
    if (!ops || left)
        return rc;
    int *codes = ps_calloc((size_t)count, sizeof *codes);
    if (!codes)
        return PS_ENOMEM;
    codes[rank] = rc;
    int failed = ps_ranks_gather(codes, begin_of_code, NULL), first = first_failed(codes),
        code = rc;
    if (failed) {
        code = failed;
    } else if (first < count) {
        left = true;
        code = rc < 0 ? rc : codes[first];
        if (first < rank)
            ps_log_silence();
        else if (rc >= 0)
            ps_fail((enum ps_err)code, "rank %d failed", first);
    }
    free(codes);
    return code;
}

int ps_ranks_gather(void *all, size_t (*begin)(const void *context, size_t rank),
                    const void *context)
{
    if (!ops)
        return PS_OK;
    size_t *offset = ps_calloc((size_t)count + 1, sizeof *offset);
    if (!offset)
        return PS_ENOMEM;
    for (size_t r = 0; r <= (size_t)count; r++)
        offset[r] = begin(context, r);
    int rc = check(ops->gather(all, offset));
    free(offset);
    return rc;
}

int ps_ranks_broadcast(void *bytes, size_t length)
{
    return ops ? check(ops->broadcast(bytes, length)) : PS_OK;
}

int ps_ranks_send(int to, const void *bytes, size_t length)
{
    return check(ops->send(to, bytes, length));
}

int ps_ranks_receive(int from, void *bytes, size_t length)
{
    return check(ops->receive(from, bytes, length));
}

int ps_ranks_exchange(int peer, const void *out, size_t out_length, void *in, size_t in_length)
{
    return check(ops->exchange(peer, out, out_length, in, in_length));
}
