/*
 * The processes of a parallel run: one, or those that mpirun or srun started, joined by the plugin
 * ps-mpi.so. The result of a run does not depend on their number (Data parallelism in
 * ps-method(7)).
 *
 * All ranks make the same calls in the same order, from the main thread. A rank that fails calls
 * ps_ranks_agree once and leaves; the others learn of it at their next call of ps_ranks_agree,
 * which therefore comes before each exchange.
 */
#ifndef PS_BASE_RANKS_H
#define PS_BASE_RANKS_H

#include <stdbool.h>
#include <stddef.h>

/* Joins the ranks. Without mpirun this process is rank 0 of 1, and all calls below do nothing. */
int ps_ranks_open(void);
/* Leaves them; call it last. */
void ps_ranks_close(void);

int ps_rank(void);
int ps_rank_count(void);

/*
 * PS_OK if rc is that on every rank. Otherwise this rank's rc, or that of the lowest rank that
 * failed. Where a lower rank failed, too, this one does not print its error.
 */
int ps_ranks_agree(int rc);

/* Rank r contributes the bytes from begin(context, r) to begin(context, r + 1) of `all`; every rank
 * has all of them afterwards. */
int ps_ranks_gather(void *all, size_t (*begin)(const void *context, size_t rank),
                    const void *context);
/* Copies from rank 0 to the others. */
int ps_ranks_broadcast(void *bytes, size_t length);
/* From one rank to another, in matching order. */
int ps_ranks_send(int to, const void *bytes, size_t length);
int ps_ranks_receive(int from, void *bytes, size_t length);
/* Both at once, with a peer that does the same. */
int ps_ranks_exchange(int peer, const void *out, size_t out_length, void *in, size_t in_length);

/* What a plugin provides: all return 0 or an error of MPI, which `text` describes. */
enum { PS_RANKS_INTERFACE = 3 };
struct ps_ranks_ops {
    int interface;
    int (*open)(int *rank, int *count);
    int (*gather)(void *all, const size_t *offset); /* (count + 1) where each rank begins */
    int (*broadcast)(void *bytes, size_t length);
    int (*send)(int to, const void *bytes, size_t length);
    int (*receive)(int from, void *bytes, size_t length);
    int (*exchange)(int peer, const void *out, size_t out_length, void *in, size_t in_length);
    void (*text)(int error, char *text, size_t size);
    void (*close)(void);
};

#endif
