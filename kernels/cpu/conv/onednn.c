/* oneDNN 2.x and 3.x behind one interface (onednn.h). */
#include "kernels/cpu/conv/onednn.h"

#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A memory descriptor is a value in 2.x and a handle in 3.x. */
#if DNNL_VERSION_MAJOR >= 3
#define DN_HANDLES 1
#define VIEW(desc) (desc)
typedef const_dnnl_memory_desc_t desc_view;
#else
#define DN_HANDLES 0
#define VIEW(desc) (&(desc))
typedef const dnnl_memory_desc_t *desc_view;
#endif

struct dn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

enum slot { SLOT_X, SLOT_W, SLOT_B, SLOT_Y, SLOT_ADDED, SLOT_SCRATCH, SLOTS };

struct dn_conv {
    struct dn *dn;
    dnnl_primitive_t primitive, pack, unpack; /* pack, unpack: NULL if the layout is plain */
    dnnl_memory_t memory[SLOTS], plain;
    dnnl_memory_t reorder_scratch;
    int argument[SLOTS]; /* 0: not an argument */
    size_t weight_bytes, scratch_bytes;
    enum cpu_weight_layout layout;
    bool transposed; /* see transpose() */
    char name[64];
};

#if CPU_BLOCK == 16
#define BLOCKED dnnl_nChw16c
static const dnnl_format_tag_t tile_tags[] = {dnnl_OIhw16i16o, dnnl_OIhw16o16i, dnnl_IOhw16o16i};
#elif CPU_BLOCK == 8
#define BLOCKED dnnl_nChw8c
static const dnnl_format_tag_t tile_tags[] = {dnnl_OIhw8i8o, dnnl_OIhw8o8i};
#else
#define BLOCKED dnnl_nchw
#endif
/* The layouts of tile_tags, from CPU_TILES_OI_IO on. */
enum { TILE_LAYOUTS = CPU_BLOCK == 16 ? 3 : CPU_BLOCK == 8 ? 2 : 0 };

struct geometry {
    dnnl_dims_t stride, dilation, near, far;
    dnnl_memory_desc_t x, w, b, y, plain, tiles[TILE_LAYOUTS + 1]; /* + 1: may not be empty */
};

static bool ok(dnnl_status_t status)
{
    return status == dnnl_success;
}

struct dn *dn_open(void)
{
    struct dn *dn = calloc(1, sizeof *dn);
    if (!dn)
        return NULL;
    /* With the primitive cache on, every step of 2.6's iterator yields the same implementation. */
    dnnl_set_primitive_cache_capacity(0);
    if (ok(dnnl_engine_create(&dn->engine, dnnl_cpu, 0)) &&
        ok(dnnl_stream_create(&dn->stream, dn->engine, dnnl_stream_default_flags)))
        return dn;
    dn_close(dn);
    return NULL;
}

void dn_close(struct dn *dn)
{
    if (!dn)
        return;
    if (dn->stream)
        dnnl_stream_destroy(dn->stream);
    if (dn->engine)
        dnnl_engine_destroy(dn->engine);
    free(dn);
}

void dn_version(char *text, size_t size)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, size, "%d.%d.%d", v->major, v->minor, v->patch);
}

static bool desc_init(dnnl_memory_desc_t *desc, int ndims, const dnnl_dims_t dims,
                      dnnl_format_tag_t tag)
{
#if DN_HANDLES
    return ok(dnnl_memory_desc_create_with_tag(desc, ndims, dims, dnnl_f32, tag));
#else
    return ok(dnnl_memory_desc_init_by_tag(desc, ndims, dims, dnnl_f32, tag));
#endif
}

static bool geometry_init(struct geometry *g, const struct dn_conv_desc *d)
{
    int k = d->kernel;
    for (int i = 0; i < 2; i++) {
        g->stride[i] = d->stride;
        g->near[i] = d->pad;
    }
    g->far[0] = (d->oh - 1) * d->stride + k - d->ih - d->pad;
    g->far[1] = (d->ow - 1) * d->stride + k - d->iw - d->pad;
    const dnnl_dims_t x = {d->n, d->ic, d->ih, d->iw}, w = {d->oc, d->ic, k, k}, b = {d->oc},
                      y = {d->n, d->oc, d->oh, d->ow};
    const dnnl_dims_t grouped = {d->groups, d->oc / d->groups, d->ic / d->groups, k, k};
#if CPU_BLOCK > 1
    for (int i = 0; i < TILE_LAYOUTS; i++)
        if (d->groups == 1 && !desc_init(&g->tiles[i], 4, w, tile_tags[i]))
            return false;
#endif
    return desc_init(&g->x, 4, x, d->x_blocked ? BLOCKED : dnnl_nchw) &&
           (d->groups > 1 ? desc_init(&g->w, 5, grouped, dnnl_format_tag_any) &&
                                desc_init(&g->plain, 5, grouped, dnnl_goihw)
                          : desc_init(&g->w, 4, w, dnnl_format_tag_any) &&
                                desc_init(&g->plain, 4, w, dnnl_oihw)) &&
           desc_init(&g->b, 1, b, dnnl_x) &&
           desc_init(&g->y, 4, y, d->y_blocked ? BLOCKED : dnnl_nchw);
}

static void geometry_free(struct geometry *g)
{
#if DN_HANDLES
    dnnl_memory_desc_t all[] = {g->x, g->w, g->b, g->y, g->plain};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i])
            dnnl_memory_desc_destroy(all[i]);
    for (int i = 0; i < TILE_LAYOUTS; i++)
        if (g->tiles[i])
            dnnl_memory_desc_destroy(g->tiles[i]);
#else
    (void)g;
#endif
}

/* The caller provides the scratchpad; what follows the convolution is fused as post-ops. */
static dnnl_primitive_attr_t attributes(const struct dn_conv_desc *desc, const struct geometry *g)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    bool good = ok(dnnl_primitive_attr_create(&attr)) &&
                ok(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user)) &&
                ok(dnnl_post_ops_create(&ops));
    if (good && desc->add)
        good = ok(dnnl_post_ops_append_binary(ops, dnnl_binary_add, VIEW(g->y)));
    if (good && desc->sum)
#if DN_HANDLES
        good = ok(dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef));
#else
        good = ok(dnnl_post_ops_append_sum(ops, 1));
#endif
    dnnl_alg_kind_t relu = desc->relu_cap > 0 ? dnnl_eltwise_clip : dnnl_eltwise_relu;
    if (good && desc->relu)
#if DN_HANDLES
        good = ok(dnnl_post_ops_append_eltwise(ops, relu, 0, desc->relu_cap));
#else
        good = ok(dnnl_post_ops_append_eltwise(ops, 1, relu, 0, desc->relu_cap));
#endif
    good = good && ok(dnnl_primitive_attr_set_post_ops(attr, ops));
    if (ops)
        dnnl_post_ops_destroy(ops);
    if (!good && attr) {
        dnnl_primitive_attr_destroy(attr);
        attr = NULL;
    }
    return attr;
}

#if DN_HANDLES
static dnnl_primitive_desc_t implementation(struct dn *dn, const struct dn_conv_desc *desc,
                                            const struct geometry *g, dnnl_alg_kind_t kind,
                                            dnnl_primitive_attr_t attr, int index)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_prop_kind_t prop = desc->inference ? dnnl_forward_inference : dnnl_forward_training;
    const_dnnl_memory_desc_t b = desc->bias ? g->b : NULL;
    dnnl_status_t status;
    if (desc->pass == CPU_FORWARD)
        status = dnnl_convolution_forward_primitive_desc_create(&pd, dn->engine, prop, kind, g->x,
                                                                g->w, b, g->y, g->stride,
                                                                g->dilation, g->near, g->far, attr);
    else if (desc->pass == CPU_DATA)
        status = dnnl_convolution_backward_data_primitive_desc_create(
            &pd, dn->engine, kind, g->x, g->w, g->y, g->stride, g->dilation, g->near, g->far, NULL,
            attr);
    else
        status = dnnl_convolution_backward_weights_primitive_desc_create(
            &pd, dn->engine, kind, g->x, g->w, b, g->y, g->stride, g->dilation, g->near, g->far,
            NULL, attr);
    for (; ok(status) && index > 0; index--)
        status = dnnl_primitive_desc_next_impl(pd);
    if (!ok(status) && pd) {
        dnnl_primitive_desc_destroy(pd);
        pd = NULL;
    }
    return pd;
}
#else
static dnnl_primitive_desc_t implementation(struct dn *dn, const struct dn_conv_desc *desc,
                                            const struct geometry *g, dnnl_alg_kind_t kind,
                                            dnnl_primitive_attr_t attr, int index)
{
    dnnl_convolution_desc_t op;
    dnnl_prop_kind_t prop = desc->inference ? dnnl_forward_inference : dnnl_forward_training;
    const dnnl_memory_desc_t *b = desc->bias ? &g->b : NULL;
    dnnl_status_t status;
    if (desc->pass == CPU_FORWARD)
        status = dnnl_convolution_forward_desc_init(&op, prop, kind, &g->x, &g->w, b, &g->y,
                                                    g->stride, g->near, g->far);
    else if (desc->pass == CPU_DATA)
        status = dnnl_convolution_backward_data_desc_init(&op, kind, &g->x, &g->w, &g->y, g->stride,
                                                          g->near, g->far);
    else
        status = dnnl_convolution_backward_weights_desc_init(&op, kind, &g->x, &g->w, b, &g->y,
                                                             g->stride, g->near, g->far);
    dnnl_primitive_desc_iterator_t iterator = NULL;
    if (!ok(status) ||
        !ok(dnnl_primitive_desc_iterator_create(&iterator, &op, attr, dn->engine, NULL)))
        return NULL;
    for (; ok(status) && index > 0; index--)
        status = dnnl_primitive_desc_iterator_next(iterator);
    dnnl_primitive_desc_t pd = ok(status) ? dnnl_primitive_desc_iterator_fetch(iterator) : NULL;
    dnnl_primitive_desc_iterator_destroy(iterator);
    return pd;
}
#endif

static bool add_memory(struct dn_conv *conv, enum slot slot, int argument, desc_view desc)
{
    conv->argument[slot] = argument;
    return ok(dnnl_memory_create(&conv->memory[slot], desc, conv->dn->engine, DNNL_MEMORY_NONE));
}

static bool add_reorder(struct dn_conv *conv, dnnl_primitive_t *primitive, desc_view from,
                        desc_view to)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_engine_t engine = conv->dn->engine;
    bool good = ok(dnnl_primitive_attr_create(&attr)) &&
                ok(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user)) &&
                ok(dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, attr)) &&
                ok(dnnl_primitive_create(primitive, pd));
    desc_view scratch = good ? dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0) : NULL;
    good = scratch &&
           ok(dnnl_memory_create(&conv->reorder_scratch, scratch, engine, DNNL_MEMORY_NONE));
    if (good && dnnl_memory_desc_get_size(scratch) > conv->scratch_bytes)
        conv->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return good;
}

/* The memory objects and reorders of the chosen implementation. */
static bool prepare(struct dn_conv *conv, const struct dn_conv_desc *desc, const struct geometry *g,
                    dnnl_primitive_desc_t pd)
{
    enum cpu_pass pass = desc->pass;
    bool gradient = pass == CPU_WEIGHTS;
    desc_view w = dnnl_primitive_desc_query_md(
        pd, gradient ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    desc_view scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    const char *name = NULL;
    if (!w || !scratch || !ok(dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name)) ||
        !ok(dnnl_primitive_create(&conv->primitive, pd)))
        return false;
    snprintf(conv->name, sizeof conv->name, "%s", name);
    conv->weight_bytes = dnnl_memory_desc_get_size(w);
    conv->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    conv->layout = dnnl_memory_desc_equal(w, VIEW(g->plain)) ? CPU_OIHW : CPU_PACKED_OF_OIHW;
    bool tiled = desc->groups == 1 && desc->ic % CPU_BLOCK == 0 && desc->oc % CPU_BLOCK == 0;
    for (int i = 0; i < TILE_LAYOUTS && tiled; i++)
        if (dnnl_memory_desc_equal(w, VIEW(g->tiles[i])))
            conv->layout = (enum cpu_weight_layout)(CPU_TILES_OI_IO + i);

    bool good =
        add_memory(conv, SLOT_X, pass == CPU_DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, VIEW(g->x)) &&
        add_memory(conv, SLOT_W, gradient ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, w) &&
        add_memory(conv, SLOT_Y, pass == CPU_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST,
                   VIEW(g->y)) &&
        add_memory(conv, SLOT_SCRATCH, DNNL_ARG_SCRATCHPAD, scratch) &&
        ok(dnnl_memory_create(&conv->plain, VIEW(g->plain), conv->dn->engine, DNNL_MEMORY_NONE));
    if (good && desc->bias)
        good = add_memory(conv, SLOT_B, gradient ? DNNL_ARG_DIFF_BIAS : DNNL_ARG_BIAS, VIEW(g->b));
    if (good && desc->add)
        good = add_memory(conv, SLOT_ADDED, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                          VIEW(g->y));
    if (!good || dnnl_memory_desc_equal(w, VIEW(g->plain)))
        return good;
    return gradient ? add_reorder(conv, &conv->unpack, w, VIEW(g->plain))
                    : add_reorder(conv, &conv->pack, VIEW(g->plain), w);
}

/*
 * Only forward convolutions have the post-op sum. Backward-data with stride 1 is a forward
 * convolution of dy, with the kernel flipped and input and output channels exchanged.
 */
static struct dn_conv_desc transpose(const struct dn_conv_desc *d)
{
    return (struct dn_conv_desc){.pass = CPU_FORWARD,
                                 .n = d->n,
                                 .ic = d->oc,
                                 .ih = d->oh,
                                 .iw = d->ow,
                                 .oc = d->ic,
                                 .oh = d->ih,
                                 .ow = d->iw,
                                 .groups = 1,
                                 .x_blocked = d->y_blocked,
                                 .y_blocked = d->x_blocked,
                                 .kernel = d->kernel,
                                 .stride = 1,
                                 .pad = d->kernel - 1 - d->pad,
                                 .sum = true};
}

static struct dn_conv *transposed_new(struct dn *dn, const struct dn_conv_desc *desc, bool winograd,
                                      int index)
{
    if (desc->stride != 1 || desc->groups > 1 || desc->pad >= desc->kernel)
        return NULL;
    struct dn_conv_desc forward = transpose(desc);
    struct dn_conv *conv = dn_conv_new(dn, &forward, winograd, index);
    if (!conv || conv->layout != CPU_TILES_OI_IO) {
        dn_conv_free(conv);
        return NULL;
    }
    conv->transposed = true;
    conv->layout = CPU_TILES_IO_OI_FLIPPED;
    return conv;
}

struct dn_conv *dn_conv_new(struct dn *dn, const struct dn_conv_desc *desc, bool winograd,
                            int index)
{
    if (desc->pass == CPU_DATA && desc->sum)
        return transposed_new(dn, desc, winograd, index);
    struct geometry g = {0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    struct dn_conv *conv = calloc(1, sizeof *conv);
    bool good = conv && geometry_init(&g, desc) && (attr = attributes(desc, &g)) &&
                (pd = implementation(dn, desc, &g,
                                     winograd ? dnnl_convolution_winograd : dnnl_convolution_direct,
                                     attr, index));
    if (good) {
        conv->dn = dn;
        good = prepare(conv, desc, &g, pd);
    }
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    geometry_free(&g);
    if (good)
        return conv;
    dn_conv_free(conv);
    return NULL;
}

void dn_conv_free(struct dn_conv *conv)
{
    if (!conv)
        return;
    for (int i = 0; i < SLOTS; i++)
        if (conv->memory[i])
            dnnl_memory_destroy(conv->memory[i]);
    if (conv->plain)
        dnnl_memory_destroy(conv->plain);
    if (conv->reorder_scratch)
        dnnl_memory_destroy(conv->reorder_scratch);
    dnnl_primitive_t all[] = {conv->primitive, conv->pack, conv->unpack};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i])
            dnnl_primitive_destroy(all[i]);
    free(conv);
}

const char *dn_conv_name(const struct dn_conv *conv)
{
    return conv->name;
}

enum cpu_weight_layout dn_conv_layout(const struct dn_conv *conv)
{
    return conv->layout;
}

size_t dn_conv_weight_bytes(const struct dn_conv *conv)
{
    return conv->weight_bytes;
}

size_t dn_conv_scratch_bytes(const struct dn_conv *conv)
{
    return conv->scratch_bytes;
}

int dn_conv_run(struct dn_conv *conv, float *x, float *w, float *b, float *y, float *added,
                void *scratch)
{
    void *data[SLOTS] = {conv->transposed ? y : x, w, b, conv->transposed ? x : y, added, scratch};
    dnnl_exec_arg_t args[SLOTS];
    int count = 0;
    for (int i = 0; i < SLOTS; i++) {
        if (!conv->memory[i])
            continue;
        if (!ok(dnnl_memory_set_data_handle(conv->memory[i], data[i])))
            return -1;
        args[count].arg = conv->argument[i];
        args[count++].memory = conv->memory[i];
    }
    return ok(dnnl_primitive_execute(conv->primitive, conv->dn->stream, count, args)) &&
                   ok(dnnl_stream_wait(conv->dn->stream))
               ? 0
               : -1;
}

static int reorder(struct dn_conv *conv, dnnl_primitive_t primitive, dnnl_memory_t from,
                   dnnl_memory_t to, void *scratch)
{
    dnnl_exec_arg_t args[] = {
        {DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, conv->reorder_scratch}};
    return ok(dnnl_memory_set_data_handle(conv->reorder_scratch, scratch)) &&
                   ok(dnnl_primitive_execute(primitive, conv->dn->stream, 3, args)) &&
                   ok(dnnl_stream_wait(conv->dn->stream))
               ? 0
               : -1;
}

int dn_conv_pack(struct dn_conv *conv, const float *plain, float *packed, void *scratch)
{
    if (!conv->pack) {
        memcpy(packed, plain, conv->weight_bytes);
        return 0;
    }
    if (!ok(dnnl_memory_set_data_handle(conv->plain, (float *)plain)) ||
        !ok(dnnl_memory_set_data_handle(conv->memory[SLOT_W], packed)))
        return -1;
    return reorder(conv, conv->pack, conv->plain, conv->memory[SLOT_W], scratch);
}

int dn_conv_unpack(struct dn_conv *conv, float *packed, float *plain, void *scratch)
{
    if (!conv->unpack) {
        memcpy(plain, packed, conv->weight_bytes);
        return 0;
    }
    if (!ok(dnnl_memory_set_data_handle(conv->plain, plain)) ||
        !ok(dnnl_memory_set_data_handle(conv->memory[SLOT_W], packed)))
        return -1;
    return reorder(conv, conv->unpack, conv->memory[SLOT_W], conv->plain, scratch);
}

int dn_gemm(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
            const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    return ok(dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', (dnnl_dim_t)m, (dnnl_dim_t)n,
                         (dnnl_dim_t)k, alpha, a, (dnnl_dim_t)lda, b, (dnnl_dim_t)ldb, beta, c,
                         (dnnl_dim_t)ldc))
               ? 0
               : -1;
}
