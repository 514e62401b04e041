/* ReLU, addition and concatenation. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

#include <stdio.h>
#include <string.h>

static int describe(ps_node *node, const char *name)
{
    snprintf(node->text, sizeof node->text, "%s %dx%dx%d", name, node->out->shape.c,
             node->out->shape.h, node->out->shape.w);
    return 0;
}

static int relu_prepare(struct cpu *cpu, ps_node *node)
{
    (void)cpu;
    return describe(node, "relu");
}

static int relu_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu, (void)params, (void)state;
    const float *x = node->in[0]->data;
    float *y = node->out->data;
    const float most = cpu_cap(node->desc.relu_cap);
#pragma omp parallel for simd
    for (size_t i = 0; i < node->out->count; i++)
        y[i] = x[i] < 0 ? 0 : x[i] > most ? most : x[i];
    return 0;
}

static int relu_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                         float *grads, bool accumulate)
{
    (void)cpu, (void)params, (void)state, (void)grads, (void)accumulate;
    if (!node->din[0])
        return 0;
    const float *y = node->out->data, *dy = node->dout->data;
    float *dx = node->din[0]->data;
    const float most = cpu_cap(node->desc.relu_cap);
#pragma omp parallel for simd
    for (size_t i = 0; i < node->out->count; i++)
        dx[i] = y[i] <= 0 || y[i] >= most ? 0 : dy[i];
    return 0;
}

const struct cpu_kind cpu_relu = {.size = sizeof(ps_node),
                                  .prepare = relu_prepare,
                                  .forward = relu_forward,
                                  .backward = relu_backward};

static int add_prepare(struct cpu *cpu, ps_node *node)
{
    (void)cpu;
    return describe(node, "add");
}

static int add_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu, (void)params, (void)state;
    cpu_sum(node->out->data, node->in[0]->data, node->in[1]->data, node->out->count,
            node->desc.relu, 0);
    return 0;
}

static int add_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                        float *grads, bool accumulate)
{
    (void)cpu, (void)params, (void)state, (void)grads, (void)accumulate;
    if (node->desc.relu)
        cpu_mask(node->dout->data, node->out->data, node->dout->count, 0);
    cpu_pass_gradient(node->din[0], node->dout);
    cpu_pass_gradient(node->din[1], node->dout);
    return 0;
}

const struct cpu_kind cpu_add = {.size = sizeof(ps_node),
                                 .prepare = add_prepare,
                                 .forward = add_forward,
                                 .backward = add_backward};

static int concat_prepare(struct cpu *cpu, ps_node *node)
{
    (void)cpu;
    return describe(node, "concat");
}

/* The first element of channel c of image n; its elements are `block` floats apart. */
static float *channel(const ps_act *act, size_t n, int c)
{
    return act->data + cpu_plane(act, n, (size_t)(c / act->block)) + c % act->block;
}

/* Does the narrow one fill whole channel blocks of the wide one, from channel `first` on? */
static bool is_aligned(const ps_act *wide, const ps_act *narrow, int first)
{
    return CPU_BLOCK > 1 && wide->block == CPU_BLOCK && narrow->block == CPU_BLOCK &&
           first % CPU_BLOCK == 0 && !cpu_is_ragged(narrow);
}

/* Copies image n of the narrow one to the wide one, from channel `first` on. In training with
 * non-temporal stores, as activations outgrow the caches. */
static void copy_in(const ps_act *wide, const ps_act *narrow, int first, size_t n, bool train)
{
    size_t hw = wide->plane / wide->block, length = hw * narrow->shape.c;
    if (is_aligned(wide, narrow, first) && train) {
        cpu_stream_all(channel(wide, n, first), channel(narrow, n, 0), length);
        cpu_stream_end();
        return;
    }
    if (is_aligned(wide, narrow, first)) {
        memcpy(channel(wide, n, first), channel(narrow, n, 0), length * sizeof(float));
        return;
    }
    for (int c = 0; c < narrow->shape.c; c++) {
        float *to = channel(wide, n, first + c);
        const float *from = channel(narrow, n, c);
        for (size_t i = 0; i < hw; i++)
            to[i * wide->block] = from[i * narrow->block];
    }
}

/* The reverse copy, masked to where `mask`, as wide as `wide`, is positive; NULL: no mask. */
static void copy_out(const ps_act *wide, const ps_act *mask, const ps_act *narrow, int first,
                     size_t n)
{
    size_t hw = wide->plane / wide->block, length = hw * narrow->shape.c;
    const float *from = channel(wide, n, first), *sign = mask ? channel(mask, n, first) : NULL;
    float *to = channel(narrow, n, 0);
    if (is_aligned(wide, narrow, first)) {
        for (size_t i = 0; i < length; i += CPU_LANES) {
            cpu_vec v = cpu_load(from + i);
            if (sign)
                v = cpu_keep(~(cpu_load(sign + i) <= 0), v);
            cpu_stream(to + i, v);
        }
        cpu_stream_end();
        return;
    }
    for (int c = 0; c < narrow->shape.c; c++) {
        from = channel(wide, n, first + c);
        sign = mask ? channel(mask, n, first + c) : NULL;
        to = channel(narrow, n, c);
        for (size_t i = 0; i < hw; i++) {
            bool off = sign && sign[i * wide->block] <= 0;
            to[i * narrow->block] = off ? 0 : from[i * wide->block];
        }
    }
}

static int concat_forward(struct cpu *cpu, ps_node *node, const float *params, float *state)
{
    (void)cpu, (void)params, (void)state;
#pragma omp parallel for
    for (size_t n = 0; n < (size_t)node->out->shape.n; n++)
        for (int i = 0, first = 0; i < node->inputs; first += node->in[i++]->shape.c)
            copy_in(node->out, node->in[i], first, n, node->mode == PS_TRAIN);
    cpu_clear_padding(node->out);
    return 0;
}

static int concat_backward(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                           float *grads, bool accumulate)
{
    (void)cpu, (void)params, (void)state, (void)grads, (void)accumulate;
#pragma omp parallel for
    for (size_t n = 0; n < (size_t)node->out->shape.n; n++)
        for (int i = 0, first = 0; i < node->inputs; first += node->in[i++]->shape.c)
            if (node->din[i])
                copy_out(node->dout, node->desc.din_masks >> i & 1 ? node->out : NULL, node->din[i],
                         first, n);
    for (int i = 0; i < node->inputs; i++)
        if (node->din[i])
            cpu_clear_padding(node->din[i]);
    return 0;
}

const struct cpu_kind cpu_concat = {.size = sizeof(ps_node),
                                    .prepare = concat_prepare,
                                    .forward = concat_forward,
                                    .backward = concat_backward};
