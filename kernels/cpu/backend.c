/*
 * The CPU backend: convolutions by oneDNN and by algorithms of our own (conv/algorithms.c), matrix
 * products by oneDNN, the rest by OpenMP loops. It is compiled once for each level CPU_LEVEL of
 * kernels/levels.h; only its table, CPU_OPS, is visible outside that level's object.
 */
#include "kernels/choices.h"
#include "kernels/cpu/conv/algorithm.h"
#include "kernels/cpu/conv/onednn.h"
#include "kernels/cpu/cpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct ps_backend_ops CPU_OPS;

void cpu_close(ps_backend *be)
{
    if (!be)
        return;
    struct cpu *cpu = cpu_of(be);
    ps_choices_close(cpu->choices);
    dn_close(cpu->dn);
    free(cpu->work);
    free(cpu);
}

/* bfloat16 terms of a float32 on the matrix unit; 0: no such unit; -1: not a precision of this
 * level. */
static int terms_of(enum ps_precision precision)
{
#if CPU_HAS_AMX
    static const int terms[] = {[PS_PRECISION_FP32] = 3,
                                [PS_PRECISION_TF32] = 2,
                                [PS_PRECISION_BF16] = 1,
                                [PS_PRECISION_FP16] = -1};
    return terms[precision];
#else
    return precision == PS_PRECISION_FP32 ? 0 : -1;
#endif
}

ps_backend *cpu_open(const struct ps_backend_config *config, char *message, size_t size)
{
    int terms = terms_of(config->precision);
    if (terms < 0) {
        snprintf(message, size, "%s (use --precision fp32, or a GPU by --device cuda)",
                 config->precision == PS_PRECISION_FP16 ? "does not compute in float16"
                                                        : "computes in float32 only, without AMX");
        return NULL;
    }
    struct cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu || !(cpu->dn = dn_open())) {
        snprintf(message, size, "oneDNN failed to start (out of memory?)");
        cpu_close(&cpu->base);
        return NULL;
    }
    cpu->base.ops = &CPU_OPS;
    cpu->bf16_terms = terms;
    cpu->threads = config->threads > 0 ? config->threads : omp_get_num_procs();
    omp_set_num_threads(cpu->threads);
    if (config->cache && !(cpu->choices = cpu_choices_open(cpu, config->cache))) {
        snprintf(message, size, "%s", cpu->error);
        cpu_close(&cpu->base);
        return NULL;
    }
    cpu->base.choices = cpu->choices ? ps_choices_path(cpu->choices) : NULL;
    char version[32];
    dn_version(version, sizeof version);
    snprintf(cpu->text, sizeof cpu->text, "%s, oneDNN %s, %d thread%s, algorithms %s", CPU_LEVEL,
             version, cpu->threads, cpu->threads == 1 ? "" : "s",
             cpu->choices ? "by measurement" : "by rule");
    return &cpu->base;
}

const char *cpu_error(const ps_backend *be)
{
    return ((const struct cpu *)be)->error;
}

bool cpu_out_of_memory(const ps_backend *be)
{
    return ((const struct cpu *)be)->no_memory;
}

const char *cpu_describe(const ps_backend *be)
{
    return ((const struct cpu *)be)->text;
}

ps_vec *cpu_vec_new(ps_backend *be, size_t n)
{
    struct cpu *cpu = cpu_of(be);
    ps_vec *v = calloc(1, sizeof *v);
    if (!v || n > SIZE_MAX / 8)
        cpu_fail(cpu, "out of memory for a vector of %zu elements", n);
    else
        v->data = cpu_alloc(cpu, n * sizeof(float));
    if (!v || !v->data) {
        free(v);
        return NULL;
    }
    v->n = n;
    return v;
}

void cpu_vec_free(ps_backend *be, ps_vec *v)
{
    (void)be;
    if (!v)
        return;
    free(v->data);
    free(v);
}

int cpu_vec_put(ps_backend *be, ps_vec *v, size_t offset, const float *x, size_t n)
{
    (void)be;
    cpu_copy(v->data + offset, x, n);
    return 0;
}

int cpu_vec_get(ps_backend *be, const ps_vec *v, size_t offset, float *x, size_t n)
{
    (void)be;
    cpu_copy(x, v->data + offset, n);
    return 0;
}

int cpu_vec_zero(ps_backend *be, ps_vec *v, size_t offset, size_t n)
{
    (void)be;
    if (n)
        memset(v->data + offset, 0, n * sizeof(float));
    return 0;
}

int cpu_vec_axpby(ps_backend *be, double a, ps_vec *y, size_t y_offset, double b, const ps_vec *x,
                  size_t x_offset, size_t n)
{
    (void)be;
    float *to = y->data + y_offset, fa = (float)a, fb = (float)b;
    const float *from = x->data + x_offset;
    if (a == 0) {
#pragma omp parallel for simd
        for (size_t i = 0; i < n; i++)
            to[i] = fb * from[i];
        return 0;
    }
#pragma omp parallel for simd
    for (size_t i = 0; i < n; i++)
        to[i] = fa * to[i] + fb * from[i];
    return 0;
}

/* As a fixed number of partial sums, so that the result does not depend on the threads. */
int cpu_vec_sum_squares(ps_backend *be, const ps_vec *v, size_t offset, size_t n, double *out)
{
    (void)be;
    enum { PARTIALS = 256 };
    double partial[PARTIALS];
    const float *x = v->data + offset;
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < PARTIALS; p++) {
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t i = n * p / PARTIALS; i < n * (p + 1) / PARTIALS; i++)
            sum += (double)x[i] * x[i];
        partial[p] = sum;
    }
    *out = 0;
    for (size_t p = 0; p < PARTIALS; p++)
        *out += partial[p];
    return 0;
}

ps_mem *cpu_mem_new(ps_backend *be, size_t bytes)
{
    struct cpu *cpu = cpu_of(be);
    ps_mem *mem = calloc(1, sizeof *mem);
    if (!mem || !(mem->data = cpu_alloc_untouched(cpu, bytes))) {
        free(mem);
        return NULL;
    }
    mem->bytes = bytes;
    return mem;
}

void cpu_mem_free(ps_backend *be, ps_mem *mem)
{
    (void)be;
    if (!mem)
        return;
    free(mem->data);
    free(mem);
}

#define ROW(OP, name, inputs) &cpu_##name,
static const struct cpu_kind *const kinds[] = {PS_OPERATORS(ROW)};

void cpu_node_free(ps_backend *be, ps_node *node)
{
    (void)be;
    if (!node)
        return;
    if (node->kind->release)
        node->kind->release(node);
    free(node);
}

/* Some operators write views; none reads them. */
static bool misuses_views(const struct ps_node_request *r)
{
    enum ps_op op = r->desc->op;
    bool allowed = (op == PS_OP_CONV && !r->desc->residual) ||
                   (op == PS_OP_BN && !r->desc->residual) || op == PS_OP_MAXPOOL ||
                   op == PS_OP_AVGPOOL;
    bool misused = (cpu_is_view(r->out) || (r->dout && cpu_is_view(r->dout))) && !allowed;
    for (int i = 0; i < r->inputs; i++)
        misused |= cpu_is_view(r->in[i]) || (r->din && r->din[i] && cpu_is_view(r->din[i]));
    return misused;
}

ps_node *cpu_node_new(ps_backend *be, const struct ps_op_desc *desc, enum ps_mode mode, int inputs,
                      ps_act *const *in, ps_act *out, ps_act *dout, ps_act *const *din)
{
    struct cpu *cpu = cpu_of(be);
    const struct ps_node_request request = {desc, mode, inputs, in, out, dout, din};
    struct ps_node_facts facts;
    if (ps_node_check(&request, &facts, cpu->error, sizeof cpu->error))
        return NULL;
    if (misuses_views(&request)) {
        cpu_fail(cpu, "%s: only outputs without a residual may be views", facts.text);
        return NULL;
    }
    const struct cpu_kind *kind = kinds[desc->op];
    ps_node *node = calloc(1, kind->size);
    if (!node) {
        cpu_fail(cpu, "out of memory");
        return NULL;
    }
    omp_set_num_threads(cpu->threads);
    node->kind = kind;
    node->desc = *desc;
    node->mode = mode;
    node->inputs = inputs;
    node->bf16_terms = cpu->bf16_terms;
    node->out = out;
    node->dout = dout;
    for (int i = 0; i < inputs; i++) {
        node->in[i] = in[i];
        node->din[i] = din ? din[i] : NULL;
    }
    if (!kind->prepare || kind->prepare(cpu, node) == 0)
        return node;
    cpu_node_free(be, node);
    return NULL;
}

int cpu_node_update(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state)
{
    if (!node->kind->update)
        return 0;
    struct cpu *cpu = cpu_of(be);
    omp_set_num_threads(cpu->threads);
    return node->kind->update(cpu, node, params->data, state ? state->data : NULL);
}

int cpu_node_share(ps_backend *be, ps_node *node, ps_node *like)
{
    return node->kind->share ? node->kind->share(cpu_of(be), node, like) : 0;
}

int cpu_node_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    struct cpu *cpu = cpu_of(be);
    omp_set_num_threads(cpu->threads);
    return node->kind->forward(cpu, node, params ? params->data : NULL, state ? state->data : NULL);
}

int cpu_node_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                      ps_vec *grads, bool accumulate)
{
    struct cpu *cpu = cpu_of(be);
    omp_set_num_threads(cpu->threads);
    return node->kind->backward(cpu, node, params ? params->data : NULL, state ? state->data : NULL,
                                grads ? grads->data : NULL, accumulate);
}

const char *cpu_node_describe(const ps_backend *be, const ps_node *node)
{
    (void)be;
    return node->text;
}

const struct ps_backend_ops CPU_OPS = {
    .interface = PS_BACKEND_INTERFACE,
    .name = "cpu",
    .inference_bytes = 128000000,
    .inference_keeps = true,
    .fusion_hints = true,
    .view_channels = CPU_BLOCK,
#define PS_OPERATION(result, name, arguments) .name = cpu_##name,
#define PS_OPTIONAL(result, name, arguments)
#include "kernels/operations.h"
    .out_of_memory = cpu_out_of_memory,
    .act_view = cpu_act_view,
    .node_fuse = cpu_node_fuse,
    .node_update = cpu_node_update,
    .node_share = cpu_node_share,
};
