/*
 * The interface of the backends (ref, cpu, cuda). A backend opens a device, keeps data there in a
 * layout of its choice, and implements the operators of the network, the losses and the optimisers.
 * It includes nothing of lib/.
 *
 * Functions return 0, or non-zero with the reason in ops->error(); constructors return NULL on
 * failure. The caller owns all objects and frees them before it closes the backend. Calls on one
 * backend come from one thread at a time. Host memory is read or written before a call returns,
 * with one exception: losses and sums of squares may be written later, by the time `wait` returns.
 * Real numbers are float32 on the device; in ref, the reference for the others, float64.
 */
#ifndef PS_KERNELS_BACKEND_H
#define PS_KERNELS_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first member of every backend's own struct. */
typedef struct ps_backend {
    const struct ps_backend_ops *ops;
    const char *choices; /* the file of its measured choices (choices.h), or NULL */
} ps_backend;

typedef struct ps_vec ps_vec;   /* a vector of real numbers on the device */
typedef struct ps_mem ps_mem;   /* raw device memory that holds activations */
typedef struct ps_act ps_act;   /* an activation (N, C, H, W), layout private to the backend */
typedef struct ps_node ps_node; /* one operator, prepared for fixed shapes and fixed activations */

/* A row-major matrix inside a vector: element (i, j) is v[offset + i * cols + j]. */
struct ps_mat {
    ps_vec *v;
    size_t offset, rows, cols;
};

struct ps_shape {
    int n, c, h, w;
};

/*
 * The operators: their names, and how many inputs they have without the residual, 0 for any number.
 * The enum, the tables of the backends and those of the tests are made from this list.
 *     CONV      y = [relu](bn?(conv(x, weight) + bias?) [+ residual]); bn is NONE or FROZEN
 *     BN        y = [relu](bn(x) [+ residual]) with batch statistics; training only
 *     ADD       y = [relu](x0 + x1)
 *     CONCAT    along channels
 *     AVGPOOL   padding counts, as zeros
 *     GLOBAL    (N, C, H, W) -> (N, C, 1, 1), by `pooling`
 *     LINEAR    (N, C, 1, 1) -> (N, D, 1, 1): y = x weight^T + bias
 *     LAYERNORM (N, C, 1, 1): y = (x - mean) / sqrt(var + eps), over an image's channels; var is
 *               biased
 */
#define PS_OPERATORS(ROW)                                                                          \
    ROW(CONV, conv, 1)                                                                             \
    ROW(BN, bn, 1)                                                                                 \
    ROW(RELU, relu, 1)                                                                             \
    ROW(ADD, add, 2)                                                                               \
    ROW(CONCAT, concat, 0)                                                                         \
    ROW(MAXPOOL, maxpool, 1)                                                                       \
    ROW(AVGPOOL, avgpool, 1)                                                                       \
    ROW(GLOBAL, global, 1)                                                                         \
    ROW(LINEAR, linear, 1)                                                                         \
    ROW(LAYERNORM, layernorm, 1)

#define PS_OP_VALUE(OP, name, inputs) PS_OP_##OP,
enum ps_op { PS_OPERATORS(PS_OP_VALUE) PS_OPS };
#undef PS_OP_VALUE

enum ps_pooling { PS_POOL_AVG, PS_POOL_MAX, PS_POOL_SUM }; /* GAP, GMP, GAP + GMP */

enum ps_bn {
    PS_BN_NONE,
    PS_BN_FROZEN, /* y = (x - mean) g + beta, g = gamma / sqrt(var + eps); mean, var constant */
    PS_BN_BATCH,  /* batch statistics; `momentum` updates the running ones, with the unbiased
                     variance */
};

#define PS_ABSENT SIZE_MAX

enum { PS_NEAREST_MOST = 1024, PS_MOST_FUSED = 4 };

struct ps_op_desc {
    enum ps_op op;
    int out_channels; /* CONV, LINEAR */
    int groups;       /* CONV: output channel o reads input channels of its group only, I/groups of
                         them; 0 is 1. I groups of one channel: a depthwise convolution */
    int kernel, stride, pad; /* CONV (square) and pools */
    int extra_pad;           /* CONV: further padding at the bottom and right */
    bool ceil;               /* pools: output size rounded up (PyTorch's ceil_mode: the last window
                                starts inside the input or its left padding) */
    bool relu, residual;     /* CONV, BN; the residual is the last input. ADD: relu only */
    float relu_cap;      /* RELU, and `relu` of CONV and BN: y = min(max(x, 0), cap), 6 in ReLU6;
                            0: no cap. The gradient is 0 where y <= 0 or y >= cap */
    enum ps_bn bn;       /* CONV: NONE or FROZEN; BN: BATCH */
    float eps, momentum; /* of bn; LAYERNORM: eps */
    enum ps_pooling pooling; /* GLOBAL */
    /* Offsets of the tensors in the parameter vector, PS_ABSENT for none. Plain layouts: CONV
     * weight (O, I / groups, k, k), LINEAR weight (D, C), the others (channels). */
    size_t weight, bias, gamma, beta;
    /* Offsets in the state vector. */
    size_t mean, var;
    /* Fusion hints, where ops->fusion_hints; all but the last for training only. */
    bool
        dout_masked; /* CONV with relu: dout is already masked, and out may have been overwritten */
    unsigned din_masks; /* bit i: din[i] is to be zero where in[i] <= 0 (ReLU's mask) or, with
                           din_cap, in[i] >= din_cap. MAXPOOL, CONCAT: in[i] may have been
                           overwritten by then. CONV: bit 0 only, after din_adds */
    float din_cap;      /* CONV: relu_cap of the operator that made in[0] */
    bool din_adds;      /* CONV: dL/din[0] is added to what din[0] holds */
    bool average_first; /* CONV, 1x1, stride 1, without a residual, groups or a cap: its input
                           passes a 3x3 AVGPOOL, stride 1, padding 1, first */
};

/* Groups of a convolution: 1 if it is dense. */
static inline size_t ps_groups(const struct ps_op_desc *desc)
{
    return desc->groups > 1 ? (size_t)desc->groups : 1;
}

enum ps_mode { PS_INFER, PS_TRAIN };

/* From bytes to the network's input: x[c] = (byte[order[c]] / range - mean[c]) / std[c]. */
struct ps_input_norm {
    int order[3]; /* which of R, G, B (0, 1, 2) channel c is */
    float range;  /* 255 or 1 */
    float mean[3], std[3];
};

enum ps_margin {
    PS_MARGIN_NONE,   /* s z */
    PS_MARGIN_SPHERE, /* s psi(theta), psi = (-1)^k cos(m theta) - 2k, theta in [k pi/m, (k+1) pi/m]
                       */
    PS_MARGIN_COSINE, /* s (z - m) */
    PS_MARGIN_ARC,    /* s cos(theta + m); past pi: s (z - m sin m) */
};

/* Softmax cross-entropy over scaled logits with a margin on the target (Losses in ps-method(7)). */
struct ps_softmax_desc {
    float scale;
    enum ps_margin margin;
    float m;
    bool virtual_class; /* one more class whose logit is `scale` (virtual softmax, normalised) */
    float smoothing;    /* label smoothing X in [0, 1): the target distribution is 1 - X times the
                           label, and X / K on each of the K logits, the virtual class's too */
};

enum ps_optimizer { PS_ADAM, PS_ADAMW, PS_RMSPROP, PS_SGD };

/* One step of PyTorch's optimiser of that name (Optimisers in ps-method(7)). */
struct ps_update_desc {
    enum ps_optimizer kind;
    int64_t step; /* 1 for the first */
    double lr, weight_decay, eps;
    double beta1, beta2;   /* ADAM, ADAMW */
    double alpha;          /* RMSPROP smoothing */
    double momentum;       /* RMSPROP, SGD */
    bool nesterov;         /* SGD */
    double gradient_scale; /* multiplies the gradients first */
    double clip_value;     /* then they are clipped element-wise to +-clip_value; 0: no clipping */
};

/* Arithmetic of the network. In all of them, products are accumulated in float32, and parameters,
 * their gradients, statistics, losses and optimisers are float32. */
enum ps_precision {
    PS_PRECISION_FP32, /* strict */
    PS_PRECISION_TF32, /* factors may be rounded to 10 bits of mantissa, not to fewer */
    PS_PRECISION_BF16, /* factors may be bfloat16, and so may activations and gradients */
    PS_PRECISION_FP16, /* those are float16; small ones underflow unless the loss is scaled */
};
#define PS_PRECISION_NAMES "fp32|tf32|bf16|fp16"

struct ps_backend_config {
    int threads;        /* 0: all processors */
    const char *device; /* "0" of cuda:0; NULL for the first */
    enum ps_precision precision;
    const char *cache; /* folder for measured choices of algorithms; NULL: a fixed rule */
};

struct ps_backend_ops {
    uint64_t interface; /* PS_BACKEND_INTERFACE of the headers that a plugin was compiled with */
    const char *name;   /* "ref", "cpu", "cuda" */
    /* Inference is no faster with more activations at once: split the batch. 0: never. */
    size_t inference_bytes;
    bool inference_keeps; /* node_update keeps what inference needs of params and state */
    bool fusion_hints;    /* dout_masked, din_masks, din_adds, average_first are supported */
    int view_channels;    /* act_view takes multiples of it; 0: there are no views */
#define PS_OPERATION(result, name, arguments) result(*name) arguments;
#include "kernels/operations.h"
};

static inline int ps_backend_wait(ps_backend *be)
{
    return be->ops->wait ? be->ops->wait(be) : 0;
}

/* Version of this file and operations.h: every change increments it, so that an old plugin is
 * refused. */
#define PS_BACKEND_INTERFACE 6

/* The reference, linked in. For the cpu backend see levels.h; the cuda backend is a plugin that
 * exports `ps_backend_ops_cuda`. */
extern const struct ps_backend_ops ps_backend_ref;

#endif
