#include "kernels/cpu/own.h"
#include "kernels/cpu/amx_conv.h"
#include "kernels/cpu/amx_plan.h"
#include "kernels/cpu/amx_stem.h"
#include "kernels/cpu/amx_weights.h"
#include "kernels/cpu/outer.h"
#include "kernels/cpu/pointwise.h"
#include "kernels/cpu/stem.h"
#include "kernels/cpu/winograd.h"

/* CPU_ONEDNN: none without the matrix unit. */
static enum cpu_way way_of_vectors(const ps_node *node, enum dn_pass pass)
{
    if (pass == DN_WEIGHTS)
        return cpu_winograd_gradient_suits(node) ? CPU_WINOGRAD
               : cpu_outer_suits(node)           ? CPU_OUTER
               : cpu_stem_suits(node)            ? CPU_STEM
                                                 : CPU_ONEDNN;
    return cpu_pointwise_suits(node, pass)  ? CPU_POINTWISE
           : cpu_winograd_suits(node, pass) ? CPU_WINOGRAD
                                            : CPU_ONEDNN;
}

int cpu_own_ways(const ps_node *node, enum dn_pass pass, enum cpu_way ways[CPU_MOST_OWN])
{
    enum cpu_way vectors = way_of_vectors(node, pass);
    bool weights = pass == DN_WEIGHTS;
    bool suits = weights ? cpu_amx_weights_suits(node) : cpu_amx_conv_suits(node, pass);
    bool likes = weights ? cpu_amx_weights_likes(node) : cpu_amx_conv_likes(node, pass);
    int count = 0;
    if (weights ? cpu_amx_stem_gradient_suits(node) : cpu_amx_stem_suits(node, pass))
        ways[count++] = CPU_AMX_STEM;
    if (suits && likes)
        ways[count++] = CPU_AMX;
    if (vectors != CPU_ONEDNN)
        ways[count++] = vectors;
    if (suits && !likes)
        ways[count++] = CPU_AMX;
    return count;
}

const char *cpu_way_name(enum cpu_way way)
{
    return way == CPU_POINTWISE  ? "pointwise"
           : way == CPU_WINOGRAD ? "winograd"
           : way == CPU_AMX      ? "amx"
           : way == CPU_AMX_STEM ? "amx rows"
           : way == CPU_OUTER    ? "outer products"
           : way == CPU_STEM     ? "rows"
                                 : NULL;
}

bool cpu_own_transforms(enum cpu_way way)
{
    return way == CPU_WINOGRAD || way == CPU_AMX;
}

enum dn_layout cpu_own_layout(const ps_node *node, enum cpu_way way, enum dn_pass pass)
{
    if (cpu_own_transforms(way) || way == CPU_AMX_STEM)
        return DN_OTHER;
    return pass == DN_FORWARD       ? DN_TILES_OI_IO
           : node->desc.kernel == 1 ? DN_TILES_IO_OI
                                    : DN_TILES_IO_OI_TURNED;
}

size_t cpu_own_folded(const ps_node *node, enum cpu_way way)
{
    return way == CPU_AMX ? cpu_amx_conv_weights(node) : cpu_winograd_weights(node);
}

void cpu_own_fold(const ps_node *node, enum cpu_way way, const struct cpu_tiles *tiles,
                  float *weights)
{
    if (way == CPU_AMX)
        cpu_amx_conv_split(node, tiles, 0, cpu_amx_pairs(tiles->data ? node->out : node->in[0]),
                           weights);
    else
        cpu_winograd_fold(node, tiles, weights);
}

static size_t plain_weights(const ps_node *node)
{
    size_t area = (size_t)node->desc.kernel * (size_t)node->desc.kernel;
    return (size_t)node->in[0]->shape.c * (size_t)node->out->shape.c * area;
}

size_t cpu_own_weights(const ps_node *node, enum cpu_way way, enum dn_pass pass)
{
    size_t floats = plain_weights(node);
    if (way == CPU_AMX_STEM && pass != DN_WEIGHTS)
        floats = cpu_amx_stem_weights(node);
    else if (cpu_own_transforms(way) && pass != DN_WEIGHTS)
        floats = node->mode == PS_INFER ? cpu_own_folded(node, way) : 0;
    return floats * sizeof(float);
}

size_t cpu_own_work(const ps_node *node, enum cpu_way way, enum dn_pass pass, int threads)
{
    if (way == CPU_OUTER)
        return cpu_outer_work(node, threads);
    if (way == CPU_STEM)
        return cpu_stem_work(node, threads);
    if (way == CPU_AMX_STEM)
        return pass == DN_WEIGHTS ? cpu_amx_stem_gradient_work(node, threads)
                                  : cpu_amx_stem_work(node, threads);
    if (!cpu_own_transforms(way))
        return 0;
    if (pass == DN_WEIGHTS)
        return way == CPU_AMX
                   ? cpu_amx_weights_work(
                         &(struct cpu_amx_gradients){.node = node, .count = 1, .dy = {node->out}},
                         threads)
                   : cpu_winograd_gradient_work(node, threads);
    bool forward = pass == DN_FORWARD;
    struct cpu_amx_conv amx = {.node = node,
                               .pass = pass,
                               .sources = 1,
                               .results = 1,
                               .from = {forward ? node->in[0] : node->out},
                               .to = {forward ? node->out : node->in[0]}};
    size_t work =
        way == CPU_AMX ? cpu_amx_conv_work(&amx, threads) : cpu_winograd_work(node, threads);
    return work + (node->mode == PS_INFER ? 0 : cpu_own_folded(node, way));
}

bool cpu_own_masks(const ps_node *node, enum cpu_way way)
{
    return node->desc.din_masks && (way == CPU_AMX || node->desc.stride == 1);
}

void cpu_own_run(const ps_node *node, enum cpu_way way, enum dn_pass pass, const float *weights,
                 const struct cpu_tiles *tiles, const ps_act *from, const ps_act *to,
                 const struct cpu_finish *finish, float *work)
{
    enum { LARGE_MAP = 28 * 28 };
    bool forward = pass == DN_FORWARD;
    if (way == CPU_POINTWISE) {
        cpu_pointwise(&(struct cpu_pointwise){
            .from = from,
            .to = to,
            .weights = weights,
            .finish = *finish,
            .from_step = forward ? node->desc.stride : 1,
            .to_step = forward ? 1 : node->desc.stride,
        });
        return;
    }
    struct cpu_finish end = *finish;
    end.stream = cpu_finish_streams(finish, node, to);
    if (way == CPU_AMX_STEM) {
        cpu_amx_stem(node, weights, from, to, &end, work);
        return;
    }
    struct cpu_amx_conv amx = {.node = node,
                               .pass = pass,
                               .sources = 1,
                               .results = 1,
                               .from = {from},
                               .to = {to},
                               .tiles = tiles,
                               .finish = {end}};
    if (!weights && !(way == CPU_AMX && cpu_amx_conv_few_pixels(&amx))) {
        cpu_own_fold(node, way, tiles, work);
        weights = work;
        work += cpu_own_folded(node, way);
    }
    if (way == CPU_AMX) {
        amx.weights[0] = weights;
        cpu_amx_conv(&amx, work);
        return;
    }
    /* masks of the ReLU behind a large map are many: rounding would turn some over */
    bool exact = forward && node->mode == PS_TRAIN && to->shape.h * to->shape.w >= LARGE_MAP;
    cpu_winograd(&(struct cpu_winograd){from, to, weights, end, exact}, work);
}

bool cpu_own_gradient_masks(const ps_node *node, enum cpu_way way)
{
    const struct ps_op_desc *d = &node->desc;
    return way == CPU_OUTER && d->relu && !d->dout_masked && !d->smooth_first;
}

enum dn_layout cpu_own_gradient(const ps_node *node, enum cpu_way way, float *dweight, float *dbias,
                                float *work)
{
    if (way == CPU_STEM || way == CPU_AMX_STEM) {
        (way == CPU_STEM ? cpu_stem_weights : cpu_amx_stem_gradient)(node, dweight, dbias, work);
        return DN_OTHER;
    }
    if (way == CPU_WINOGRAD)
        cpu_winograd_gradient(node, dweight, dbias, work);
    else if (way == CPU_AMX)
        cpu_amx_weights(&(struct cpu_amx_gradients){node, 1, {node->dout}, {dweight}, {dbias}},
                        work);
    else
        cpu_outer_weights(node, cpu_own_gradient_masks(node, way), dweight, dbias, work);
    return DN_TILES_OI_IO;
}

int cpu_own_try(struct cpu *cpu, void *what, const struct cpu_trial_buffers *buffers)
{
    struct cpu_own_trial *trial = what;
    ps_node node = *trial->node;
    const struct ps_op_desc *d = &node.desc;
    bool forward = trial->pass == DN_FORWARD;
    ps_act x = cpu_whole(node.in[0], buffers->x), y = cpu_whole(node.out, buffers->y);
    size_t kept = cpu_own_weights(&node, trial->way, trial->pass) / sizeof(float);
    if (!trial->weights)
        trial->weights = cpu_trial_memory(cpu, kept ? kept : plain_weights(&node));
    if (!trial->weights)
        return -1;
    node.in[0] = &x;
    node.out = node.dout = &y;
    if (trial->pass == DN_WEIGHTS) {
        cpu_own_gradient(&node, trial->way, trial->weights, buffers->bias, cpu->work);
        return 0;
    }
    struct cpu_finish finish = {.result = forward ? y.data : x.data};
    if (forward) {
        finish.bias = buffers->bias;
        finish.added = buffers->added;
        finish.relu = d->relu;
    } else {
        finish.added = d->din_adds ? x.data : NULL;
        finish.sign = cpu_own_masks(&node, trial->way) ? buffers->added : NULL;
    }
    struct cpu_tiles tiles = {.fold = cpu_fold_of(&node.desc, x.shape.c, y.shape.c),
                              .data = !forward,
                              .made = trial->weights};
    cpu_own_run(&node, trial->way, trial->pass, kept ? trial->weights : NULL, &tiles,
                forward ? &x : &y, forward ? &y : &x, &finish, cpu->work);
    return 0;
}
