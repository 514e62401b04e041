/*
 * What an exchange between two ranks takes, in the best of some runs: `mpirun -n 2 bench-exchange`.
 * For each size, both send and receive so many bytes at once. ps-mpi.so has to be beside it.
 */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/ranks.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST = 1 << 26, RUNS = 30 };

static int measure(char *out, char *in, size_t size)
{
    double least = 0;
    for (int i = 0; i < RUNS; i++) {
        double start = ps_seconds();
        int rc = ps_ranks_exchange(1 - ps_rank(), out, size, in, size);
        double seconds = ps_seconds() - start;
        if (rc)
            return rc;
        if (!i || seconds < least)
            least = seconds;
    }
    if (ps_rank() == 0)
        printf("%9zu bytes  %10.1f us  %8.1f MB/s\n", size, least * 1e6,
               (double)size / least * 1e-6);
    return PS_OK;
}

int main(void)
{
    char *out = ps_calloc(MOST, 1), *in = ps_calloc(MOST, 1);
    int rc = out && in ? ps_ranks_open() : PS_ENOMEM;
    if (!rc && ps_rank_count() != 2)
        rc = ps_fail(PS_EUSAGE, "start two ranks: mpirun -n 2");
    for (size_t size = 4; size <= MOST && !rc; size *= 8)
        rc = measure(out, in, size);
    if (rc)
        ps_log_error();
    ps_ranks_close();
    free(out);
    free(in);
    return rc ? 1 : 0;
}
