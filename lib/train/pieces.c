#include "train/pieces.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/ranks.h"
#include "net/device.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 17 }; /* floats that pieces are added in */

static size_t row_of(const struct ps_pieces *p, size_t piece)
{
    return piece * p->batch / p->count;
}

static size_t rows_in(const struct ps_pieces *p, size_t piece)
{
    return row_of(p, piece + 1) - row_of(p, piece);
}

static int owner_of(const struct ps_pieces *p, size_t piece)
{
    return (int)(piece / p->own);
}

static const struct ps_backend_ops *ops_of(const struct ps_pieces *p)
{
    return ps_net_backend(p->net)->ops;
}

static int fail_device(const struct ps_pieces *p, int failed)
{
    return failed ? ps_device_fail(ps_net_backend(p->net)) : PS_OK;
}

static int copy(const struct ps_pieces *p, ps_vec *to, ps_vec *from, size_t n)
{
    return fail_device(p, ops_of(p)->vec_axpby(ps_net_backend(p->net), 0, to, 0, 1, from, 0, n));
}

static int allocate(struct ps_pieces *p, size_t batch)
{
    ps_backend *be = ps_net_backend(p->net);
    size_t rows = batch * ps_net_dim(p->net), params = ps_net_params_size(p->net);
    size_t states = p->count * ps_net_state_size(p->net);
    size_t most = rows > params ? rows : params;
    p->values = ps_calloc(most > states ? most : states, sizeof *p->values);
    p->lane = ps_calloc(p->own, sizeof(void *));
    if (ps_rank_count() > 1)
        p->received = ps_calloc(params / 2 + 1, sizeof *p->received);
    if (!p->values || !p->lane || (ps_rank_count() > 1 && !p->received))
        return PS_ENOMEM;
    for (size_t i = 0; i < p->own; i++)
        if (!(p->lane[i] = ps_net_lane(p->net)))
            return ps_error_code();
    p->x = be->ops->vec_new(be, rows);
    p->other = p->x && ps_rank_count() > 1 ? be->ops->vec_new(be, params) : NULL;
    return fail_device(p, !p->x || (ps_rank_count() > 1 && !p->other));
}

int ps_pieces_new(struct ps_pieces *p, ps_net *net, size_t count, size_t batch)
{
    size_t ranks = (size_t)ps_rank_count();
    *p = (struct ps_pieces){.net = net, .count = count, .own = count / ranks};
    p->first = (size_t)ps_rank() * p->own;
    return count > 1 ? allocate(p, batch) : PS_OK;
}

void ps_pieces_free(struct ps_pieces *p)
{
    if (!p->net)
        return;
    ps_vec *const vectors[2] = {p->x, p->other};
    for (size_t i = 0; i < 2; i++)
        if (vectors[i])
            ops_of(p)->vec_free(ps_net_backend(p->net), vectors[i]);
    for (size_t i = 0; i < p->own && p->lane; i++)
        ps_net_free(p->lane[i]);
    free(p->lane);
    free(p->values);
    free(p->received);
    *p = (struct ps_pieces){0};
}

struct ps_rows ps_pieces_rows(const struct ps_pieces *p)
{
    return (struct ps_rows){p->first, p->first + p->own, p->count};
}

/* Where in p->values the embeddings of a rank, and the state of a piece, begin. */
static size_t embedding_begin(const struct ps_pieces *p, size_t rank)
{
    return row_of(p, rank * p->own) * ps_net_dim(p->net);
}

static size_t state_begin(const struct ps_pieces *p, size_t piece)
{
    return piece * ps_net_state_size(p->net);
}

static size_t embedding_bytes(const void *pieces, size_t rank)
{
    return embedding_begin(pieces, rank) * sizeof(float);
}

static size_t state_bytes(const void *pieces, size_t rank)
{
    const struct ps_pieces *p = pieces;
    return state_begin(p, rank * p->own) * sizeof(float);
}

/* Passes this rank's pieces through its lanes; p->x has their rows. */
static int forward_own(struct ps_pieces *p, const uint8_t *images)
{
    const struct ps_net_spec *spec = ps_net_spec_of(p->net);
    size_t image = 3 * (size_t)spec->size * (size_t)spec->size, dim = ps_net_dim(p->net);
    for (size_t i = 0; i < p->own; i++) {
        size_t row = row_of(p, p->first + i), rows = rows_in(p, p->first + i);
        struct ps_mat part;
        int rc = copy(p, ps_net_state(p->lane[i]), ps_net_state(p->net), ps_net_state_size(p->net));
        if (!rc && rows)
            rc = ps_net_forward(p->lane[i], PS_TRAIN, images + row * image, rows, &part);
        if (!rc && rows)
            rc = fail_device(p, ops_of(p)->vec_axpby(ps_net_backend(p->net), 0, p->x, row * dim, 1,
                                                     part.v, part.offset, rows * dim));
        if (rc)
            return rc;
    }
    return PS_OK;
}

static int share_embeddings(struct ps_pieces *p)
{
    ps_backend *be = ps_net_backend(p->net);
    size_t me = (size_t)ps_rank(), begin = embedding_begin(p, me);
    size_t all = p->batch * ps_net_dim(p->net);
    int rc = fail_device(p, be->ops->vec_get(be, p->x, begin, p->values + begin,
                                             embedding_begin(p, me + 1) - begin));
    rc = ps_ranks_agree(rc);
    if (!rc)
        rc = ps_ranks_gather(p->values, embedding_bytes, p);
    return rc ? rc : fail_device(p, be->ops->vec_put(be, p->x, 0, p->values, all));
}

/* The mean of the running statistics of all pieces that have rows, in their order. */
static int average_states(struct ps_pieces *p)
{
    ps_backend *be = ps_net_backend(p->net);
    size_t n = ps_net_state_size(p->net), used = 0;
    int rc = PS_OK;
    for (size_t i = 0; i < p->own && !rc; i++)
        rc = fail_device(p, be->ops->vec_get(be, ps_net_state(p->lane[i]), 0,
                                             p->values + state_begin(p, p->first + i), n));
    rc = ps_ranks_agree(rc);
    if (!rc)
        rc = ps_ranks_gather(p->values, state_bytes, p);
    if (rc)
        return rc;
    for (size_t piece = 0; piece < p->count; piece++) {
        const float *state = p->values + state_begin(p, piece);
        if (!rows_in(p, piece))
            continue;
        for (size_t j = 0; j < n; j++)
            p->values[j] = used ? p->values[j] + state[j] : state[j];
        used++;
    }
    for (size_t j = 0; j < n; j++)
        p->values[j] /= (float)used;
    rc = fail_device(p, be->ops->vec_put(be, ps_net_state(p->net), 0, p->values, n));
    ps_net_changed(p->net);
    return rc;
}

int ps_pieces_forward(struct ps_pieces *p, const uint8_t *images, size_t batch, struct ps_mat *x)
{
    p->batch = batch;
    if (p->count == 1)
        return ps_net_forward(p->net, PS_TRAIN, images, batch, x);
    *x = (struct ps_mat){p->x, 0, batch, ps_net_dim(p->net)};
    int rc = forward_own(p, images);
    if (ps_rank_count() > 1)
        rc = rc ? ps_ranks_agree(rc) : share_embeddings(p);
    return rc || ps_net_spec_of(p->net)->freeze_bn ? rc : average_states(p);
}

/* Piece i's gradients += piece j's, in one range, wherever they are. */
static int add_piece(struct ps_pieces *p, size_t i, size_t j, size_t offset, size_t n)
{
    ps_backend *be = ps_net_backend(p->net);
    int to = owner_of(p, i), from = owner_of(p, j), me = ps_rank();
    ps_vec *theirs = from == me ? ps_net_gradients(p->lane[j - p->first]) : p->other;
    int rc = PS_OK;
    if (from == me && to != me) {
        rc = fail_device(p, be->ops->vec_get(be, theirs, offset, p->values, n));
        return rc ? rc : ps_ranks_send(to, p->values, n * sizeof *p->values);
    }
    if (to != me)
        return PS_OK;
    if (from != me) {
        rc = ps_ranks_receive(from, p->values, n * sizeof *p->values);
        if (!rc)
            rc = fail_device(p, be->ops->vec_put(be, theirs, offset, p->values, n));
    }
    ps_vec *mine = ps_net_gradients(p->lane[i - p->first]);
    return rc ? rc : fail_device(p, be->ops->vec_axpby(be, 1, mine, offset, 1, theirs, offset, n));
}

/* The tree's sums over groups of `end` pieces: piece i += piece i + step, for step 1, 2, 4 ... A
 * block after the other, so that those of all pieces stay in cache. */
static int climb(struct ps_pieces *p, size_t end, size_t offset, size_t n)
{
    int rc = PS_OK;
    for (size_t at = 0; at < n; at += BLOCK)
        for (size_t step = 1; step < end; step *= 2)
            for (size_t i = 0; i + step < p->count && !rc; i += 2 * step)
                rc = add_piece(p, i, i + step, offset + at, n - at < BLOCK ? n - at : BLOCK);
    return rc;
}

/* Up the tree to rank 0, and back to all: for any number of ranks. */
static int add_by_tree(struct ps_pieces *p, size_t offset, size_t n, ps_vec *sum)
{
    ps_backend *be = ps_net_backend(p->net);
    bool first = ps_rank() == 0;
    int rc = climb(p, p->count, offset, n);
    if (!rc && first)
        rc = fail_device(p, be->ops->vec_get(be, sum, offset, p->values, n));
    if (!rc)
        rc = ps_ranks_broadcast(p->values, n * sizeof *p->values);
    return rc || first ? rc : fail_device(p, be->ops->vec_put(be, sum, offset, p->values, n));
}

/* What a rank has of a range during add_by_halves, and what its peer has besides. */
struct half {
    size_t begin, count, peer_begin, peer_count;
};

static struct half halve(size_t begin, size_t count, bool lower)
{
    size_t middle = begin + count / 2, end = begin + count;
    return lower ? (struct half){begin, middle - begin, middle, end - middle}
                 : (struct half){middle, end - middle, begin, middle - begin};
}

/*
 * The same sums, where the numbers of ranks and of their pieces are powers of two: ranks at the
 * distances 1, 2, 4, ... exchange halves of what they have, add, and in the end collect the parts.
 * Each rank sends twice the range's size, whatever their number.
 */
static int add_by_halves(struct ps_pieces *p, size_t offset, size_t n, ps_vec *sum)
{
    ps_backend *be = ps_net_backend(p->net);
    int rank = ps_rank(), levels = 0;
    struct half at[32];
    float *values = p->values;
    int rc = climb(p, p->own, offset, n);
    if (!rc)
        rc = fail_device(p, be->ops->vec_get(be, ps_net_gradients(p->lane[0]), offset, values, n));
    for (size_t begin = 0, count = n; (1 << levels) < ps_rank_count() && !rc; levels++) {
        struct half *h = &at[levels];
        *h = halve(begin, count, !(rank >> levels & 1));
        begin = h->begin;
        count = h->count;
        rc = ps_ranks_exchange(rank ^ 1 << levels, values + h->peer_begin,
                               h->peer_count * sizeof *values, p->received, count * sizeof *values);
        for (size_t i = 0; i < count && !rc; i++)
            values[begin + i] += p->received[i];
    }
    while (levels-- && !rc)
        rc = ps_ranks_exchange(rank ^ 1 << levels, values + at[levels].begin,
                               at[levels].count * sizeof *values, values + at[levels].peer_begin,
                               at[levels].peer_count * sizeof *values);
    return rc ? rc : fail_device(p, be->ops->vec_put(be, sum, offset, values, n));
}

static bool is_power_of_two(size_t n)
{
    return !(n & (n - 1));
}

/* The sum over all pieces, in one range, becomes the network's gradient or is added to it. */
static int add_range(struct ps_pieces *p, size_t offset, size_t n, bool accumulate)
{
    ps_backend *be = ps_net_backend(p->net);
    size_t ranks = (size_t)ps_rank_count();
    bool halves = ranks > 1 && is_power_of_two(ranks) && is_power_of_two(p->own);
    if (halves && !accumulate)
        return add_by_halves(p, offset, n, ps_net_gradients(p->net));
    ps_vec *sum = ps_rank() == 0 ? ps_net_gradients(p->lane[0]) : p->other;
    int rc = ranks == 1 ? climb(p, p->count, offset, n)
             : halves   ? add_by_halves(p, offset, n, sum)
                        : add_by_tree(p, offset, n, sum);
    return rc ? rc
              : fail_device(p, be->ops->vec_axpby(be, accumulate ? 1 : 0, ps_net_gradients(p->net),
                                                  offset, 1, sum, offset, n));
}

static int backward_own(struct ps_pieces *p, struct ps_mat dx, bool head_only)
{
    ps_backend *be = ps_net_backend(p->net);
    int rc = PS_OK;
    for (size_t i = 0; i < p->own && !rc; i++) {
        size_t row = row_of(p, p->first + i), rows = rows_in(p, p->first + i);
        struct ps_mat part = {dx.v, dx.offset + row * dx.cols, rows, dx.cols};
        rc = rows ? ps_net_backward(p->lane[i], part, false, head_only)
                  : fail_device(p, be->ops->vec_zero(be, ps_net_gradients(p->lane[i]), 0,
                                                     ps_net_params_size(p->net)));
    }
    return rc;
}

static int add_group(struct ps_pieces *p, enum ps_group group, bool accumulate)
{
    size_t offset, n;
    ps_net_group_range(p->net, group, &offset, &n);
    return n ? add_range(p, offset, n, accumulate) : PS_OK;
}

/* What the backbone's gradients are where it is frozen. */
static int clear_backbone(struct ps_pieces *p)
{
    ps_backend *be = ps_net_backend(p->net);
    size_t offset, n;
    ps_net_group_range(p->net, PS_GROUP_BACKBONE, &offset, &n);
    return fail_device(p, be->ops->vec_zero(be, ps_net_gradients(p->net), offset, n));
}

int ps_pieces_backward(struct ps_pieces *p, struct ps_mat dx, bool accumulate, bool head_only)
{
    if (p->count == 1)
        return ps_net_backward(p->net, dx, accumulate, head_only);
    int rc = ps_net_gradients(p->net) ? backward_own(p, dx, head_only) : (int)ps_error_code();
    rc = ps_ranks_agree(rc);
    if (!rc)
        rc = add_group(p, PS_GROUP_EMBEDDING, accumulate);
    if (rc || !head_only)
        return rc ? rc : add_group(p, PS_GROUP_BACKBONE, accumulate);
    return accumulate ? PS_OK : clear_backbone(p);
}

int ps_pieces_compare(struct ps_pieces *p)
{
    size_t n = ps_net_params_size(p->net), ranks = (size_t)ps_rank_count();
    if (ranks == 1)
        return PS_OK;
    ps_backend *be = ps_net_backend(p->net);
    int rc = fail_device(p, be->ops->vec_get(be, ps_net_params(p->net), 0, p->values, n));
    rc = ps_ranks_agree(rc);
    if (rc)
        return rc;
    struct ps_hash hash = ps_hash_bytes(p->values, n * sizeof *p->values), first = hash;
    rc = ps_ranks_broadcast(&first, sizeof first);
    if (!rc && strcmp(first.hex, hash.hex) != 0)
        rc = ps_fail(PS_EMISMATCH,
                     "the parameters of rank %d differ from those of rank 0: their processors or "
                     "libraries compute otherwise (PS_CPU_ISA may set a common level)",
                     ps_rank());
    return ps_ranks_agree(rc);
}

size_t ps_pieces_memory(const struct ps_pieces *p)
{
    size_t bytes = ps_net_memory(p->net);
    for (size_t i = 0; i < p->own && p->lane; i++)
        bytes += ps_net_memory(p->lane[i]);
    return bytes;
}
