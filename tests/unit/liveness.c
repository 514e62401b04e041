/*
 * lib/net: nothing is written over what is still needed. Random graphs are planned on a backend
 * that computes nothing: it notes what lies in every piece of memory, and finds that again, or not,
 * when an operator reads. The memory of a channel of an activation is one piece.
 */
#include "base/err.h"
#include "base/rng.h"
#include "net/plan.h"
#include "net/simplify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 4, PIECE = SIDE * SIDE * (int)sizeof(float), NOTHING = -1 };

struct ps_mem {
    size_t pieces;
    int *holds; /* a content in each piece, or NOTHING */
};

struct ps_act {
    struct ps_shape shape;
    int *at;     /* its pieces */
    int content; /* what its first channel is called; the others follow */
};

struct ps_node {
    struct ps_op_desc desc;
    enum ps_mode mode;
    int inputs;
    ps_act *in[PS_GRAPH_INPUTS], *din[PS_GRAPH_INPUTS], *out, *dout;
    ps_node *joined[PS_MOST_FUSED]; /* all that it is, itself first */
    int joined_count;
};

struct fake {
    ps_backend base;
    struct ps_backend_ops ops;
    int contents; /* given out so far */
    const char *fault;
};

static struct fake *fake_of(ps_backend *be)
{
    return (struct fake *)(void *)be;
}

static void write_act(const ps_act *act)
{
    for (int c = 0; c < act->shape.c; c++)
        act->at[c] = act->content + c;
}

static void read_act(struct fake *fake, const ps_act *act, const char *what)
{
    for (int c = 0; c < act->shape.c; c++)
        if (act->at[c] != act->content + c && !fake->fault)
            fake->fault = what;
}

static void forget_act(const ps_act *act)
{
    for (int c = 0; c < act->shape.c; c++)
        act->at[c] = NOTHING;
}

static const char *fake_error(const ps_backend *be)
{
    (void)be;
    return "fake";
}

static size_t fake_act_bytes(ps_backend *be, struct ps_shape shape)
{
    (void)be;
    assert_true(shape.n == 1 && shape.h * shape.w <= SIDE * SIDE);
    return (size_t)shape.c * PIECE;
}

static ps_act *fake_act_new(ps_backend *be, struct ps_shape shape, ps_mem *mem, size_t offset)
{
    ps_act *act = calloc(1, sizeof *act);
    assert_non_null(act);
    assert_true(offset % PIECE == 0 && offset / PIECE + (size_t)shape.c <= mem->pieces);
    *act = (ps_act){shape, mem->holds + offset / PIECE, fake_of(be)->contents};
    fake_of(be)->contents += shape.c;
    return act;
}

static ps_act *fake_act_part(ps_backend *be, const ps_act *whole, int first, int channels)
{
    (void)be;
    ps_act *act = calloc(1, sizeof *act);
    assert_non_null(act);
    assert_true(first >= 0 && channels > 0 && first + channels <= whole->shape.c);
    *act = (ps_act){whole->shape, whole->at + first, whole->content + first};
    act->shape.c = channels;
    return act;
}

static void fake_act_free(ps_backend *be, ps_act *act)
{
    (void)be;
    free(act);
}

static int fake_act_add(ps_backend *be, ps_act *dst, const ps_act *src)
{
    read_act(fake_of(be), dst, "what is added to");
    read_act(fake_of(be), src, "what is added");
    return 0;
}

static ps_node *fake_node_new(ps_backend *be, const struct ps_op_desc *desc, enum ps_mode mode,
                              int inputs, ps_act *const *in, ps_act *out, ps_act *dout,
                              ps_act *const *din)
{
    (void)be;
    ps_node *node = calloc(1, sizeof *node);
    assert_non_null(node);
    *node = (ps_node){
        .desc = *desc, .mode = mode, .inputs = inputs, .out = out, .dout = dout, .joined_count = 1};
    for (int i = 0; i < inputs; i++) {
        node->in[i] = in[i];
        node->din[i] = din ? din[i] : NULL;
    }
    node->joined[0] = node;
    return node;
}

static void fake_node_free(ps_backend *be, ps_node *node)
{
    (void)be;
    free(node);
}

static int fake_node_join(ps_backend *be, ps_node *const *nodes, int count)
{
    (void)be;
    for (int i = 0; i < count; i++) {
        assert_int_equal(nodes[i]->desc.op, PS_OP_CONV);
        assert_ptr_equal(nodes[i]->in[0], nodes[0]->in[0]);
        assert_ptr_equal(nodes[i]->din[0], nodes[0]->din[0]);
        nodes[0]->joined[i] = nodes[i];
    }
    nodes[0]->joined_count = count;
    return 1;
}

static int fake_forward(ps_backend *be, ps_node *first, const ps_vec *params, ps_vec *state)
{
    (void)params, (void)state;
    for (int k = 0; k < first->joined_count; k++)
        for (int i = 0; i < first->joined[k]->inputs; i++)
            read_act(fake_of(be), first->joined[k]->in[i], "an input, forward");
    for (int k = 0; k < first->joined_count; k++)
        write_act(first->joined[k]->out);
    return 0;
}

/* What a node may read, backward, but its gradient. */
static void read_again(struct fake *fake, const ps_node *node)
{
    const struct ps_op_desc *d = &node->desc;
    for (int i = 0; i < node->inputs; i++)
        if (d->op == PS_OP_CONV || !(d->din_masks >> i & 1))
            read_act(fake, node->in[i], "an input, backward");
    if (!d->dout_masked)
        read_act(fake, node->out, "an output, backward");
}

static int fake_backward(ps_backend *be, ps_node *first, const ps_vec *params, const ps_vec *state,
                         ps_vec *grads, bool accumulate)
{
    (void)params, (void)state, (void)grads, (void)accumulate;
    struct fake *fake = fake_of(be);
    for (int k = 0; k < first->joined_count; k++) {
        read_again(fake, first->joined[k]);
        read_act(fake, first->joined[k]->dout, "an output's gradient");
    }
    for (int k = first->joined_count - 1; k >= 0; k--) {
        const ps_node *node = first->joined[k];
        bool passes = false;
        for (int i = 0; i < node->inputs; i++) {
            passes |= node->din[i] == node->dout;
            if (!node->din[i] || node->din[i] == node->dout)
                continue;
            if (i == 0 && node->desc.din_adds)
                read_act(fake, node->din[i], "a gradient that is added to");
            write_act(node->din[i]);
        }
        if (!passes)
            forget_act(node->dout);
    }
    return 0;
}

static struct fake fake_new(bool places, bool parts, bool joins)
{
    return (struct fake){.ops = {.fusion_hints = places,
                                 .view_channels = parts ? 4 : 0,
                                 .error = fake_error,
                                 .act_bytes = fake_act_bytes,
                                 .act_new = fake_act_new,
                                 .act_view = fake_act_part,
                                 .act_free = fake_act_free,
                                 .act_add = fake_act_add,
                                 .node_new = fake_node_new,
                                 .node_free = fake_node_free,
                                 .node_fuse = joins ? fake_node_join : NULL,
                                 .node_forward = fake_forward,
                                 .node_backward = fake_backward}};
}

enum { MOST_VALUES = 64, OPERATORS = 14 };

struct maker {
    struct ps_graph *graph;
    struct ps_rng rng;
    int values[MOST_VALUES], count;
    bool read[MOST_VALUES];
    bool chain; /* of modules, one after the other */
    int convolutions;
};

static int below(struct maker *m, int n)
{
    return (int)ps_rng_below(&m->rng, (uint64_t)n);
}

/* One of the values, newer ones more often. */
static int some(struct maker *m)
{
    if (m->chain)
        return m->count - 1;
    return below(m, 2) ? m->count - 1 - below(m, m->count < 3 ? m->count : 3) : below(m, m->count);
}

/* It is read now. */
static int pick(struct maker *m)
{
    int i = some(m);
    m->read[i] = true;
    return m->values[i];
}

static void keep(struct maker *m, int value)
{
    assert_true(m->count < MOST_VALUES);
    m->read[m->count] = false;
    m->values[m->count++] = value;
}

static int convolution(struct maker *m, int x)
{
    char name[16], bn[16];
    snprintf(name, sizeof name, "c%d", m->convolutions);
    snprintf(bn, sizeof bn, "b%d", m->convolutions++);
    int kernel = below(m, 3) ? 1 : 3;
    const struct ps_conv desc = {.channels = 4 * (1 + below(m, 3)),
                                 .kernel = kernel,
                                 .stride = 1,
                                 .pad = kernel / 2,
                                 .bias = true,
                                 .init = {PS_INIT_NORMAL, 1}};
    return ps_graph_bn(m->graph, ps_graph_conv(m->graph, x, name, &desc), bn);
}

static int sum(struct maker *m)
{
    int a = pick(m), b = some(m);
    for (int tries = 8; m->graph->values[a].c != m->graph->values[m->values[b]].c && tries; tries--)
        b = some(m);
    if (m->graph->values[a].c != m->graph->values[m->values[b]].c)
        return convolution(m, a);
    m->read[b] = true;
    return ps_graph_add(m->graph, a, m->values[b]);
}

static int concatenation(struct maker *m)
{
    int x[PS_GRAPH_INPUTS], n = 2 + below(m, PS_GRAPH_INPUTS - 1);
    for (int i = 0; i < n; i++)
        x[i] = pick(m);
    return ps_graph_concat(m->graph, x, n);
}

/* Branches with an end in one place. */
static int module(struct maker *m)
{
    int from = pick(m), x[PS_GRAPH_INPUTS], n = 2 + below(m, PS_GRAPH_INPUTS - 1);
    for (int i = 0; i < n; i++) {
        int y = from;
        if (below(m, 3) == 0)
            y = ps_graph_pool(m->graph, below(m, 2) ? PS_OP_MAXPOOL : PS_OP_AVGPOOL, y, 3, 1, 1,
                              false);
        for (int k = below(m, 3); k >= 0 && (k > 0 || below(m, 4)); k--)
            y = ps_graph_relu(m->graph, convolution(m, y));
        x[i] = y == from ? convolution(m, y) : y;
    }
    return ps_graph_concat(m->graph, x, n);
}

static int operator(struct maker *m)
{
    switch (m->chain ? 4 : below(m, 8)) {
    case 0:
        return ps_graph_pool(m->graph, PS_OP_MAXPOOL, pick(m), 3, 1, 1, false);
    case 1:
        return ps_graph_pool(m->graph, PS_OP_AVGPOOL, pick(m), 3, 1, 1, false);
    case 2:
        return sum(m);
    case 3:
        return concatenation(m);
    case 4:
        return module(m);
    default:
        return convolution(m, pick(m));
    }
}

/* Everything that is made is of use to the output. */
static void some_graph(struct ps_graph *g, struct ps_params *params, uint64_t number)
{
    struct maker m = {
        .graph = g, .rng = ps_rng_stream(21, PS_RNG_TEST, number, 0), .chain = number % 2};
    ps_graph_init(g, params, 4, SIDE, SIDE);
    keep(&m, ps_graph_relu(g, convolution(&m, PS_GRAPH_IMAGE)));
    for (int i = 3 + below(&m, OPERATORS); i > 0; i--) {
        int y = operator(&m);
        keep(&m, below(&m, 3) ? ps_graph_relu(g, y) : y);
    }
    for (;;) {
        int open[PS_GRAPH_INPUTS], n = 0;
        for (int i = 0; i < m.count && n < PS_GRAPH_INPUTS; i++)
            if (!m.read[i]) {
                m.read[i] = true;
                open[n++] = m.values[i];
            }
        if (n == 1) {
            g->pooled = ps_graph_global(g, open[0], PS_POOL_AVG);
            break;
        }
        keep(&m, ps_graph_concat(g, open, n));
    }
    g->group = PS_GROUP_EMBEDDING;
    g->output = ps_graph_linear(g, g->pooled, "embedding", 4);
    assert_int_equal(g->rc, PS_OK);
}

struct way {
    bool places, parts, joins, batch_statistics, checkpoint;
};

static void check(uint64_t number, struct way way, enum ps_mode mode)
{
    struct ps_params params = {0};
    struct ps_graph graph, simple;
    struct fake fake = fake_new(way.places, way.parts, way.joins);
    fake.base.ops = &fake.ops;
    some_graph(&graph, &params, number);
    assert_int_equal(ps_graph_simplify(&simple, &graph, way.batch_statistics, &fake.ops), PS_OK);
    ps_plan *plan = ps_plan_new(&fake.base, &simple, mode, 1, way.checkpoint);
    assert_non_null(plan);
    ps_mem mem = {.pieces = ps_plan_bytes(plan) / PIECE};
    mem.holds = malloc(mem.pieces * sizeof *mem.holds);
    memset(mem.holds, 0xff, mem.pieces * sizeof *mem.holds);
    assert_int_equal(ps_plan_place(plan, &simple, &mem), PS_OK);
    write_act(ps_plan_image(plan));
    assert_int_equal(ps_plan_forward(plan, NULL, NULL), PS_OK);
    read_act(&fake, ps_plan_pooled(plan), "the pooled map");
    read_act(&fake, ps_plan_output(plan), "the output");
    if (mode == PS_TRAIN) {
        write_act(ps_plan_output_gradient(plan));
        assert_int_equal(ps_plan_backward(plan, NULL, NULL, NULL, false, false), PS_OK);
        read_act(&fake, ps_plan_pooled(plan), "the pooled map, after backward");
    }
    if (fake.fault)
        fail_msg("graph %d, places %d, parts %d, joins %d, batch %d, checkpoint %d, %s: %s is gone",
                 (int)number, way.places, way.parts, way.joins, way.batch_statistics,
                 way.checkpoint, mode == PS_TRAIN ? "training" : "inference", fake.fault);
    ps_plan_free(plan);
    free(mem.holds);
    ps_graph_free(&graph);
    ps_graph_free(&simple);
    ps_params_free(&params);
}

static void test_nothing_needed_is_lost(void **state)
{
    (void)state;
    enum { GRAPHS = 200 };
    for (uint64_t number = 0; number < GRAPHS; number++)
        for (unsigned bits = 0; bits < 32; bits++) {
            struct way way = {bits & 1, bits & 2, bits & 4, bits & 8, bits & 16};
            if (way.joins && !way.places)
                continue;
            check(number, way, PS_TRAIN);
            if (!way.batch_statistics && !way.checkpoint)
                check(number, way, PS_INFER);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_needed_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
