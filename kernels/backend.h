/*
 * The one interface between what is computed and what computes it. A backend (ref, cpu, cuda) opens
 * a device, keeps data there in whatever layout it likes, and implements the operators of the
 * network, of the losses and of the optimisers. It includes nothing of lib/.
 *
 * Functions return 0, or non-zero with the reason in ops->error(); constructors return NULL then.
 * Objects belong to the caller and are freed before the backend is closed. Calls on one backend
 * come from one thread at a time. Host pointers given to a call are read or written before it
 * returns; only numbers that are computed, losses and sums of squares, may come later: they are
 * there when `wait` has returned. Real numbers are float32 on the device (float64 in ref, which is
 * the truth for the others).
 */
#ifndef PS_KERNELS_BACKEND_H
#define PS_KERNELS_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first member of every backend's own struct. */
typedef struct ps_backend {
    const struct ps_backend_ops *ops;
} ps_backend;

typedef struct ps_vec ps_vec;   /* a flat vector of real numbers on the device */
typedef struct ps_mem ps_mem;   /* raw device memory that activations are placed in */
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

enum ps_op {
    PS_OP_CONV, /* y = [relu](bn?(conv(x, weight) + bias?) [+ residual]); bn is NONE or FROZEN */
    PS_OP_BN,   /* y = [relu](bn(x) [+ residual]) with batch statistics; training only */
    PS_OP_RELU,
    PS_OP_ADD,    /* y = [relu](x0 + x1) */
    PS_OP_CONCAT, /* along channels */
    PS_OP_MAXPOOL,
    PS_OP_AVGPOOL, /* zeros of the padding are counted */
    PS_OP_GLOBAL,  /* (N, C, H, W) -> (N, C, 1, 1), see pooling */
    PS_OP_LINEAR,  /* (N, C, 1, 1) -> (N, D, 1, 1): y = x weight^T + bias */
};

enum ps_pooling { PS_POOL_AVG, PS_POOL_MAX, PS_POOL_SUM }; /* GAP, GMP, GAP + GMP */

enum ps_bn {
    PS_BN_NONE,
    PS_BN_FROZEN, /* y = (x - mean) g + beta, g = gamma / sqrt(var + eps); mean, var constant */
    PS_BN_BATCH,  /* statistics of the batch; running ones move by `momentum`, variance unbiased */
};

#define PS_ABSENT SIZE_MAX

enum { PS_NEAREST_MOST = 1024, PS_MOST_JOINED = 4 };

struct ps_op_desc {
    enum ps_op op;
    int out_channels;        /* CONV, LINEAR */
    int kernel, stride, pad; /* CONV (square) and pools */
    bool ceil;           /* pools: output size rounded up (PyTorch's rule: the last window starts
                            inside the input or its left padding) */
    bool relu, residual; /* CONV, BN; the residual is the last input. ADD: relu only */
    enum ps_bn bn;       /* CONV: NONE or FROZEN; BN: BATCH */
    float eps, momentum; /* of bn */
    enum ps_pooling pooling; /* GLOBAL */
    /* Where the tensors lie in the parameter vector, PS_ABSENT if there is none. Plain layout:
     * CONV weight (O, I, k, k), LINEAR weight (D, C), the others (channels). */
    size_t weight, bias, gamma, beta;
    /* In the state vector. */
    size_t mean, var;
    /* What a node is told of its place in a network: where ops->places only, and all but the
     * last for training only. */
    bool dout_masked;   /* CONV with relu: dout is zero already where out <= 0; out may be gone */
    unsigned din_masks; /* bit i: din[i] shall be zero where in[i] <= 0; MAXPOOL, CONCAT: in[i] may
                           be gone in backward; CONV, bit 0 only: after din_adds */
    bool din_adds;      /* CONV: dL/din[0] is added to what din[0] holds */
    bool smooth_first;  /* CONV, 1 x 1 by steps of 1, without a residual: of the AVGPOOL of 3 x 3 by
                           steps of 1 and padded by 1 of its input */
};

enum ps_mode { PS_INFER, PS_TRAIN };

/* How bytes become the network's input: x[c] = (byte[order[c]] / range - mean[c]) / std[c]. */
struct ps_input_norm {
    int order[3]; /* which of R, G, B (0, 1, 2) is channel c */
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

/* Softmax cross-entropy over scaled logits with a margin on the target (METHOD.md 2). */
struct ps_softmax_desc {
    float scale;
    enum ps_margin margin;
    float m;
    bool virtual_class; /* one more class whose logit is `scale` (virtual softmax, normalised) */
};

enum ps_optimizer { PS_ADAM, PS_ADAMW, PS_RMSPROP, PS_SGD };

/* One step of PyTorch's optimiser of that name (documentation of torch.optim, formulas). */
struct ps_update_desc {
    enum ps_optimizer kind;
    int64_t step; /* 1 for the first */
    double lr, weight_decay, eps;
    double beta1, beta2;   /* ADAM, ADAMW */
    double alpha;          /* RMSPROP smoothing */
    double momentum;       /* RMSPROP, SGD */
    bool nesterov;         /* SGD */
    double gradient_scale; /* gradients are multiplied by it first */
    double clip_value;     /* then clipped element-wise to +-clip_value; 0: not */
};

/* Arithmetic of the network. Parameters, their gradients, statistics, losses and optimisers are
 * float32 in all of them, and so are sums of products. */
enum ps_precision {
    PS_PRECISION_FP32, /* strict */
    PS_PRECISION_TF32, /* factors of products are rounded, to 10 bits of mantissa at least */
    PS_PRECISION_BF16, /* so are they to 8; activations and their gradients may have 16 bits */
    PS_PRECISION_FP16, /* those have 16 bits; small ones vanish unless the loss is scaled */
};
#define PS_PRECISION_NAMES "fp32|tf32|bf16|fp16"

struct ps_backend_config {
    int threads;        /* 0: all processors */
    const char *device; /* "0" of cuda:0; NULL for the first */
    enum ps_precision precision;
    const char *cache; /* folder in which choices of implementations are kept, NULL: none */
};

struct ps_backend_ops {
    size_t interface; /* PS_BACKEND_INTERFACE of the headers that a plugin was compiled with */
    const char *name; /* "ref", "cpu", "cuda" */
    /* Inference on more activations than this is no faster and had better go in slices; 0: never.
     */
    size_t inference_bytes;
    bool inference_keeps; /* what inference needs of params and state is kept by node_update */
    bool places;          /* dout_masked, din_masks, din_adds and smooth_first are understood */
    int part_channels;    /* act_part takes multiples of it; 0: there is none */

    /* On failure NULL, with the reason in message[0..size). */
    ps_backend *(*open)(const struct ps_backend_config *config, char *message, size_t size);
    void (*close)(ps_backend *be);
    const char *(*error)(const ps_backend *be);
    /* Did the last failure come of too little device memory? NULL: that cannot be told. */
    bool (*out_of_memory)(const ps_backend *be);
    /* "oneDNN 2.6.3, avx512_core, 2 threads": what computes, for logs. Belongs to the backend. */
    const char *(*describe)(const ps_backend *be);

    /* Until the losses and sums of squares of the calls so far are there. NULL: they always are. */
    int (*wait)(ps_backend *be);

    /* Vectors: n real numbers, zero at first. put/get convert from and to host float32. */
    ps_vec *(*vec_new)(ps_backend *be, size_t n);
    void (*vec_free)(ps_backend *be, ps_vec *v);
    int (*vec_put)(ps_backend *be, ps_vec *v, size_t offset, const float *x, size_t n);
    int (*vec_get)(ps_backend *be, const ps_vec *v, size_t offset, float *x, size_t n);
    int (*vec_zero)(ps_backend *be, ps_vec *v, size_t offset, size_t n);
    /* y = a y + b x (n elements); a = 0 ignores what y held. */
    int (*vec_axpby)(ps_backend *be, double a, ps_vec *y, size_t y_offset, double b,
                     const ps_vec *x, size_t x_offset, size_t n);
    /* Sum of squares, in float64; NaN or infinite where an element is. */
    int (*vec_sum_squares)(ps_backend *be, const ps_vec *v, size_t offset, size_t n, double *out);

    /* Activations are placed at byte offsets of raw memory; live ones must not overlap. */
    ps_mem *(*mem_new)(ps_backend *be, size_t bytes);
    void (*mem_free)(ps_backend *be, ps_mem *mem);
    /* Bytes that an activation of this shape takes, a multiple of the alignment. 0 on failure. */
    size_t (*act_bytes)(ps_backend *be, struct ps_shape shape);
    ps_act *(*act_new)(ps_backend *be, struct ps_shape shape, ps_mem *mem, size_t offset);
    /* Channels `first` to first + channels of another one, in its memory: to be freed before that,
     * and a node's out and dout only, where that is a window pool, or a CONV or BN without a
     * residual. So is no copy needed of what is made to be joined. */
    ps_act *(*act_part)(ps_backend *be, const ps_act *whole, int first, int channels);
    void (*act_free)(ps_backend *be, ps_act *act);
    /* Plain (N, C, H, W) float32 on the host. */
    int (*act_put)(ps_backend *be, ps_act *act, const float *nchw);
    int (*act_get)(ps_backend *be, const ps_act *act, float *nchw);
    /* Begins to bring the bytes of the next act_put_u8 to the device while that works on. NULL in a
     * backend where nothing is gained. */
    int (*stage_u8)(ps_backend *be, const uint8_t *nhwc, size_t bytes);
    /* (N, H, W, 3) RGB bytes on the host, normalised on the device. NULL: what was staged last. */
    int (*act_put_u8)(ps_backend *be, ps_act *act, const uint8_t *nhwc,
                      const struct ps_input_norm *norm);
    /* dst += src, same shape. */
    int (*act_add)(ps_backend *be, ps_act *dst, const ps_act *src);
    /* Between an activation (N, C, 1, 1) and a matrix (N, C). */
    int (*act_to_mat)(ps_backend *be, const ps_act *act, struct ps_mat out);
    int (*act_from_mat)(ps_backend *be, ps_act *act, struct ps_mat in);

    /*
     * Prepares an operator on given activations. in[0..inputs) and out are read and written by
     * forward. For training (mode TRAIN) dout holds dL/dout when backward is called, which may
     * overwrite it as scratch, and din[i] (NULL: not wanted) receives dL/din[i]. For a residual
     * input din[i] may be dout itself: then the gradient that passes through is left there. dout
     * and din are NULL for INFER.
     */
    ps_node *(*node_new)(ps_backend *be, const struct ps_op_desc *desc, enum ps_mode mode,
                         int inputs, ps_act *const *in, ps_act *out, ps_act *dout,
                         ps_act *const *din);
    void (*node_free)(ps_backend *be, ps_node *node);
    /*
     * CONVs of one input, 2 to PS_MOST_JOINED, that run one after the other, forward from the first
     * to the last and backward the other way; their outputs and gradients are there all the time.
     * Makes them one where that is faster, and returns 1: update, forward and backward of the first
     * are then those of all, and are not called for others. 0: nothing has changed; -1: failed.
     * NULL: never.
     */
    int (*node_join)(ps_backend *be, ps_node *const *nodes, int count);
    /* Parameters or statistics changed: derive again what is kept of them (folded, reordered).
     * NULL in a backend that keeps nothing. */
    int (*node_update)(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state);
    /* `state` is written by BN with batch statistics only. For INFER where ops->inference_keeps
     * both may be NULL. */
    int (*node_forward)(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state);
    /* After node_forward. Parameter gradients are written to `grads` at the parameters' offsets, or
     * added to what is there if `accumulate`; NULL: not wanted (frozen). */
    int (*node_backward)(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                         ps_vec *grads, bool accumulate);
    /* "conv 64x56x56 -> 64x56x56 k3: jit_avx512 winograd", for profiles. Belongs to the node. */
    const char *(*node_describe)(const ps_backend *be, const ps_node *node);

    /* C = alpha op(A) op(B) + beta C, op is the transpose where t* is set. beta = 0 ignores C. */
    int (*gemm)(ps_backend *be, bool ta, bool tb, double alpha, struct ps_mat a, struct ps_mat b,
                double beta, struct ps_mat c);
    /* y_i = x_i / max(||x_i||, 1e-12); norm[i] receives the divisor (rows). x and y may be one. */
    int (*normalize)(ps_backend *be, struct ps_mat x, struct ps_mat y, struct ps_mat norm);
    /* dx_i (+)= (dy_i - (y_i . dy_i) y_i) / norm_i */
    int (*normalize_grad)(ps_backend *be, struct ps_mat y, struct ps_mat norm, struct ps_mat dy,
                          struct ps_mat dx, bool accumulate);
    /* out_i = lambda_i x[first_i] + (1 - lambda_i) x[second_i], i < out.rows */
    int (*interpolate)(ps_backend *be, struct ps_mat x, const int32_t *first, const int32_t *second,
                       const float *lambda, struct ps_mat out);
    /* dx[first_i] += lambda_i dout_i; dx[second_i] += (1 - lambda_i) dout_i. Fixed order. */
    int (*interpolate_grad)(ps_backend *be, struct ps_mat dout, const int32_t *first,
                            const int32_t *second, const float *lambda, struct ps_mat dx);
    /*
     * z (R, C): cosines or raw logits in, dL/dz out, for L = mean over rows of the cross-entropy.
     * label (R). Mixed targets (both NULL for none): weight_i times the loss whose target, with its
     * margin, is label_i, plus 1 - weight_i times the one whose target is label2_i. Derivatives of
     * SPHERE and ARC by z are those at z clamped to +-(1 - 1e-7), so that they are finite.
     */
    int (*softmax_loss)(ps_backend *be, struct ps_mat z, const int32_t *label,
                        const int32_t *label2, const float *weight,
                        const struct ps_softmax_desc *desc, double *loss);
    /* S_ic = sum_k softmax_k(z_ick / gamma) z_ick; z (R, C K), s (R, C). */
    int (*softtriple)(ps_backend *be, struct ps_mat z, int centers, double gamma, struct ps_mat s);
    /* z is overwritten with dL/dz; s as softtriple gave it. */
    int (*softtriple_grad)(ps_backend *be, struct ps_mat z, int centers, double gamma,
                           struct ps_mat s, struct ps_mat ds);
    /* tau sum_{c, t<s} sqrt(2 - 2 w_ct . w_cs + 1e-5) / (C K (K-1)); w (C K, D) normalised rows;
     * dw += its gradient. */
    int (*softtriple_regularizer)(ps_backend *be, struct ps_mat w, int centers, double tau,
                                  struct ps_mat dw, double *loss);
    /* z (R, C): cosines in, dL/dz out. Proxy-anchor loss (METHOD.md 2). */
    int (*proxy_anchor)(ps_backend *be, struct ps_mat z, const int32_t *label, double alpha,
                        double delta, double *loss);

    /*
     * Of each row of query (Q, D) the k rows of gallery (N, D) with the largest inner products,
     * each product in float32 (no TF32): largest first, equal ones by ascending number; NaN is
     * none. Row i of the gallery has the number first + i. value, index (Q, k), on the host, are in
     * and out: they hold the best of earlier rows (an index of -1 is an empty place), so that a
     * large gallery is searched in pieces of ascending numbers. k is at most PS_NEAREST_MOST. NULL
     * in a backend that leaves this to others.
     */
    int (*nearest)(ps_backend *be, struct ps_mat query, struct ps_mat gallery, int32_t first, int k,
                   float *value, int32_t *index);

    /* params, m and v are updated over n elements from `offset`. m: first moment or momentum
     * buffer; v: second moment (not used by SGD). */
    int (*update)(ps_backend *be, const struct ps_update_desc *desc, ps_vec *params,
                  const ps_vec *grads, ps_vec *m, ps_vec *v, size_t offset, size_t n);
};

static inline int ps_backend_wait(ps_backend *be)
{
    return be->ops->wait ? be->ops->wait(be) : 0;
}

/* Differs between most versions of this file, so that an old plugin is noticed. */
#define PS_BACKEND_INTERFACE                                                                       \
    (sizeof(struct ps_backend_ops) << 32 | sizeof(struct ps_op_desc) << 16 |                       \
     sizeof(struct ps_update_desc) << 8 | sizeof(struct ps_backend_config))

/* The truth, linked in. For the cpu backend see levels.h; the cuda backend is a plugin that exports
 * `ps_backend_ops_cuda`. */
extern const struct ps_backend_ops ps_backend_ref;

#endif
