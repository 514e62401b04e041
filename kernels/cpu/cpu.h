/* What the files of this backend share: the objects behind backend.h and the parts of its table. */
#ifndef PS_CPU_CPU_H
#define PS_CPU_CPU_H

#include "kernels/backend.h"
#include "kernels/cpu/vector.h"
#include "kernels/flat.h"
#include "kernels/node_check.h"

#include <omp.h>
#include <stdbool.h>
#include <stddef.h>

struct dn;
struct ps_choices;

struct cpu {
    ps_backend base;
    struct dn *dn;
    int threads;
    int bf16_terms; /* of a float32 on the matrix unit (amx/tile.h); 0: there is none */
    float *work;    /* workspace shared by all nodes */
    size_t work_count;
    struct ps_choices *choices; /* NULL: by a fixed rule */
    bool no_memory;             /* was why the last call failed */
    char error[256], text[160];
};

/*
 * (N, C, H, W) in groups of `block` channels: element (n, c, y, x) is
 * data[(((n * groups + c / block) * H + y) * W + x) * block + c % block]. block is CPU_BLOCK, or 1
 * where C is no multiple of that. A plane is one group of one image: H W block floats. Images are
 * further apart in a part of another activation: some of its groups.
 */
struct ps_act {
    struct ps_shape shape;
    int block;
    size_t planes, plane, count; /* N groups; floats of a plane and of the whole */
    size_t image;                /* floats from an image to the next */
    float *data;
};

/* A node of a kind is a struct of kind->size bytes that begins with this one. */
struct ps_node {
    const struct cpu_kind *kind;
    struct ps_op_desc desc;
    enum ps_mode mode;
    int inputs;
    int bf16_terms; /* the backend's */
    const ps_act *in[PS_NODE_INPUTS], *din[PS_NODE_INPUTS], *out, *dout;
    char text[240];
};

struct cpu_kind {
    size_t size;
    int (*prepare)(struct cpu *cpu, ps_node *node);
    int (*update)(struct cpu *cpu, ps_node *node, const float *params, const float *state);
    int (*forward)(struct cpu *cpu, ps_node *node, const float *params, float *state);
    int (*backward)(struct cpu *cpu, ps_node *node, const float *params, const float *state,
                    float *grads, bool accumulate); /* grads NULL: not wanted */
    void (*release)(ps_node *node); /* what the node owns, also after prepare failed */
};

extern const struct cpu_kind cpu_conv, cpu_bn, cpu_relu, cpu_add, cpu_concat, cpu_window,
    cpu_global, cpu_linear; /* update, prepare and release may be NULL */

/* Records the message; returns -1. */
int cpu_fail(struct cpu *cpu, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Zeroed and aligned; NULL with the error recorded. free() it. */
void *cpu_alloc(struct cpu *cpu, size_t bytes);
/* Of any content; a page takes room only once it is used. */
void *cpu_alloc_untouched(struct cpu *cpu, size_t bytes);
/* Makes the workspace at least that large. */
int cpu_need_work(struct cpu *cpu, size_t count);

static inline struct cpu *cpu_of(ps_backend *be)
{
    return (struct cpu *)be;
}

/* Blocks of CPU_BLOCK channels. */
static inline size_t cpu_groups(const ps_act *act)
{
    return (size_t)act->shape.c / CPU_BLOCK;
}

/* Is there more between its images? */
static inline bool cpu_is_view(const ps_act *act)
{
    return act->shape.n > 1 && act->image * (size_t)act->shape.n != act->count;
}

/* Where a group of an image begins, in floats; where plane p of all does. */
static inline size_t cpu_plane(const ps_act *act, size_t image, size_t group)
{
    return image * act->image + group * act->plane;
}

static inline size_t cpu_plane_at(const ps_act *act, size_t p)
{
    size_t groups = act->planes / (size_t)act->shape.n;
    return cpu_plane(act, p / groups, p % groups);
}

/* The same elements with nothing between the images, at `data`. */
static inline ps_act cpu_whole(const ps_act *act, float *data)
{
    ps_act whole = *act;
    whole.image = act->count / (size_t)act->shape.n;
    whole.data = data;
    return whole;
}

static inline float *cpu_mat(struct ps_mat m)
{
    return m.v->data + m.offset;
}

/* Between an activation and plain (N, C, H, W). */
void cpu_act_from_plain(const ps_act *act, const float *nchw);
void cpu_act_to_plain(const ps_act *act, float *nchw);

/* Element-wise over activations of one shape, n floats. */
void cpu_mask(float *gradient, const float *out, size_t n); /* gradient = 0 where out <= 0 */
void cpu_copy(float *to, const float *from, size_t n);
/* The same of activations that may be parts. */
void cpu_mask_act(const ps_act *gradient, const ps_act *out);
void cpu_copy_act(const ps_act *to, const ps_act *from);
/* y = x0 + x1, or max(0, that) */
void cpu_sum(float *y, const float *x0, const float *x1, size_t n, bool relu);
/* Backward of a residual input: copied unless it is dout itself. */
void cpu_pass_gradient(const ps_act *din, const ps_act *dout);
/* to[i] (+)= from[i]: how parameter gradients are handed over. */
void cpu_give(float *to, const float *from, size_t n, bool accumulate);

#define PS_OPERATION(result, name, arguments) result cpu_##name arguments;
#include "kernels/operations.h"

#endif
