/* What the files of the CPU backend share: the objects behind backend.h and the kinds of nodes. */
#ifndef PS_CPU_CPU_H
#define PS_CPU_CPU_H

#include "kernels/backend.h"
#include "kernels/cpu/vector.h"
#include "kernels/flat.h"
#include "kernels/node_check.h"

#include <math.h>
#include <omp.h>
#include <stdbool.h>
#include <stddef.h>

struct dn;
struct ps_choices;

struct cpu {
    ps_backend base;
    struct dn *dn;
    int threads;
    int bf16_terms; /* bfloat16 terms of a float32 on the matrix unit (amx/tile.h); 0: no unit */
    float *work;    /* workspace shared by all nodes */
    size_t work_count;
    struct ps_choices *choices; /* measured algorithms; NULL: by a fixed rule */
    bool no_memory;             /* the last failure ran out of memory */
    char error[256], text[160];
};

/*
 * (N, C, H, W) in blocks of `block` channels (nChw16c, nChw8c or nchw): element (n, c, y, x) is
 * data[n * image + ((c / block * H + y) * W + x) * block + c % block]. `block` is CPU_BLOCK, or 1
 * for less than a block of channels. In a ragged activation the last block has lanes without a
 * channel, which every writer of an activation sets to zero. A plane is one block of one image. Of
 * single pixels, (N, C, 1, 1), element (n, c) is data[n * image + c]. In a view, a range of the
 * blocks of another activation, images are further apart than their own planes need.
 */
struct ps_act {
    struct ps_shape shape;
    int block;
    size_t planes, plane, count; /* N ceil(C / block); floats of a plane, of all planes */
    size_t image;                /* floats from one image to the next */
    float *data;
};

/* A node of a kind is a struct of kind->size bytes that begins with this one. */
struct ps_node {
    const struct cpu_kind *kind;
    struct ps_op_desc desc;
    enum ps_mode mode;
    int inputs;
    int bf16_terms; /* of struct cpu */
    const ps_act *in[PS_NODE_INPUTS], *din[PS_NODE_INPUTS], *out, *dout;
    char text[240];
};

struct cpu_kind {
    size_t size;
    int (*prepare)(struct cpu *cpu, ps_node *node);
    int (*update)(struct cpu *cpu, ps_node *node, const float *params, const float *state);
    int (*share)(struct cpu *cpu, ps_node *node, ps_node *like); /* node_share */
    int (*forward)(struct cpu *cpu, ps_node *node, const float *params, float *state);
    int (*backward)(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                    float *grads, bool accumulate); /* grads NULL: not wanted */
    void (*release)(ps_node *node); /* frees what the node owns, even if prepare failed */
};

/* One for each operator. prepare, update, release, and share of those that derive nothing in
 * training, may be NULL. */
#define CPU_KIND(OP, name, inputs) extern const struct cpu_kind cpu_##name;
PS_OPERATORS(CPU_KIND)

/* Records the message; returns -1. */
int cpu_fail(struct cpu *cpu, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Zeroed and aligned memory; NULL with the error recorded. free() it. */
void *cpu_alloc(struct cpu *cpu, size_t bytes);
/* The same, uninitialised: pages take memory only once they are touched. */
void *cpu_alloc_untouched(struct cpu *cpu, size_t bytes);
/* Makes the workspace hold at least `count` floats; what it held is lost. 0 or -1. */
int cpu_need_work(struct cpu *cpu, size_t count);

static inline struct cpu *cpu_of(ps_backend *be)
{
    return (struct cpu *)be;
}

/* Channel blocks of a blocked activation. */
static inline size_t cpu_blocks(const ps_act *act)
{
    return ((size_t)act->shape.c + CPU_BLOCK - 1) / CPU_BLOCK;
}

static inline bool cpu_is_ragged(const ps_act *act)
{
    return act->shape.c % act->block != 0;
}

/* Channels in plane p. */
static inline int cpu_channels_in(const ps_act *act, size_t p)
{
    size_t blocks = (size_t)(act->shape.c + act->block - 1) / (size_t)act->block;
    int left = act->shape.c - (int)(p % blocks) * act->block;
    return left < act->block ? left : act->block;
}

/* Does it skip other channels between its images? */
static inline bool cpu_is_view(const ps_act *act)
{
    return act->shape.n > 1 && act->image * (size_t)act->shape.n != act->count;
}

/* Offset in floats of a channel block of an image, and of plane p of them all. */
static inline size_t cpu_plane(const ps_act *act, size_t image, size_t block)
{
    return image * act->image + block * act->plane;
}

static inline size_t cpu_plane_at(const ps_act *act, size_t p)
{
    size_t blocks = (size_t)(act->shape.c + act->block - 1) / (size_t)act->block;
    return cpu_plane(act, p / blocks, p % blocks);
}

/* An activation of that shape at `data`, without gaps between its images. */
static inline ps_act cpu_dense(const ps_act *act, float *data)
{
    ps_act dense = *act;
    dense.image = act->count / (size_t)act->shape.n;
    dense.data = data;
    return dense;
}

/* A cap that a comparison can use. */
static inline float cpu_cap(float cap)
{
    return cap > 0 ? cap : INFINITY;
}

static inline float *cpu_mat(struct ps_mat m)
{
    return m.v->data + m.offset;
}

/* Zeros the lanes without a channel. */
void cpu_clear_padding(const ps_act *act);

/* Reorders between an activation and plain (N, C, H, W). */
void cpu_act_from_plain(const ps_act *act, const float *nchw);
void cpu_act_to_plain(const ps_act *act, float *nchw);

/* Element-wise over n floats of activations with the same layout. */
/* ReLU's mask: 0 where out <= 0 or out >= cap. `cap` is a relu_cap here and below: 0 for none. */
void cpu_mask(float *gradient, const float *out, size_t n, float cap);
void cpu_copy(float *to, const float *from, size_t n);
/* The same for activations that may be views. */
void cpu_mask_act(const ps_act *gradient, const ps_act *out, float cap);
void cpu_copy_act(const ps_act *to, const ps_act *from);
/* y = [relu](x0 + x1) */
void cpu_sum(float *y, const float *x0, const float *x1, size_t n, bool relu, float cap);
/* Backward of a residual input: copies dout, unless din is dout. din may be NULL. */
void cpu_pass_gradient(const ps_act *din, const ps_act *dout);
/* to[i] = or += from[i]: how parameter gradients are stored. */
void cpu_store_grads(float *to, const float *from, size_t n, bool accumulate);

#define PS_OPERATION(result, name, arguments) result cpu_##name arguments;
#include "kernels/operations.h"

#endif
