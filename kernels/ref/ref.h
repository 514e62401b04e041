/*
 * The reference backend: every operator as plain loops over doubles, straight from its formula. It
 * is the truth that the other backends are tested against, so clarity comes before speed.
 * Activations are plain (N, C, H, W). Functions return 0, or -1 with the reason recorded.
 */
#ifndef PS_KERNELS_REF_REF_H
#define PS_KERNELS_REF_REF_H

#include "kernels/node_check.h"

struct ps_vec {
    size_t n;
    double *x;
};

struct ps_mem {
    size_t bytes;
    unsigned char *base;
};

struct ps_act {
    struct ps_shape shape;
    double *x;
};

/* What an operator is made of. */
struct ps_ref_op {
    size_t (*saved)(const ps_node *node); /* doubles kept for backward; NULL: none */
    int (*forward)(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state);
    int (*backward)(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                    ps_vec *grads, bool accumulate);
};

struct ps_node {
    struct ps_op_desc desc;
    const struct ps_ref_op *op;
    enum ps_mode mode;
    int inputs;
    ps_act *in[PS_NODE_INPUTS], *din[PS_NODE_INPUTS]; /* din: NULL where not wanted */
    ps_act *out, *dout;
    double *saved;                      /* NULL for INFER */
    size_t params_needed, state_needed; /* least lengths of the vectors */
    char text[sizeof((struct ps_node_facts *)NULL)->text];
};

extern const struct ps_ref_op ps_ref_conv, ps_ref_bn, ps_ref_relu, ps_ref_add, ps_ref_concat,
    ps_ref_maxpool, ps_ref_avgpool, ps_ref_global, ps_ref_linear;

int ps_ref_fail(ps_backend *be, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *ps_ref_error(const ps_backend *be);
int ps_ref_threads(const ps_backend *be);

/* Does [offset, offset + n) lie inside v? */
int ps_ref_range(ps_backend *be, const ps_vec *v, size_t offset, size_t n);
/* First element of a matrix that was checked to lie inside its vector; NULL with the reason. */
double *ps_ref_mat(ps_backend *be, struct ps_mat m);

static inline size_t ps_ref_count(struct ps_shape s)
{
    return (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

static inline size_t ps_ref_plane(struct ps_shape s)
{
    return (size_t)s.h * (size_t)s.w;
}

/* A parameter or statistic, NULL if the operator has none. */
static inline double *ps_ref_at(const ps_vec *v, size_t offset)
{
    return v && offset != PS_ABSENT ? v->x + offset : NULL;
}

/* Where n gradients are added up: zeroed first unless they accumulate. NULL if not wanted. */
double *ps_ref_gradient(ps_vec *grads, size_t offset, size_t n, bool accumulate);

/* y = [relu](y [+ residual]) of operators that have these flags. */
void ps_ref_finish(const ps_node *node);
/* Its gradient: dout becomes the gradient of what was finished, and is handed to the residual. */
void ps_ref_finish_grad(const ps_node *node);

/* Backend functions, by subject; see kernels/backend.h. */
ps_vec *ps_ref_vec_new(ps_backend *be, size_t n);
void ps_ref_vec_free(ps_backend *be, ps_vec *v);
int ps_ref_vec_put(ps_backend *be, ps_vec *v, size_t offset, const float *x, size_t n);
int ps_ref_vec_get(ps_backend *be, const ps_vec *v, size_t offset, float *x, size_t n);
int ps_ref_vec_zero(ps_backend *be, ps_vec *v, size_t offset, size_t n);
int ps_ref_vec_axpby(ps_backend *be, double a, ps_vec *y, size_t y_offset, double b,
                     const ps_vec *x, size_t x_offset, size_t n);
int ps_ref_vec_sum_squares(ps_backend *be, const ps_vec *v, size_t offset, size_t n, double *out);

ps_mem *ps_ref_mem_new(ps_backend *be, size_t bytes);
void ps_ref_mem_free(ps_backend *be, ps_mem *mem);
size_t ps_ref_act_bytes(ps_backend *be, struct ps_shape shape);
ps_act *ps_ref_act_new(ps_backend *be, struct ps_shape shape, ps_mem *mem, size_t offset);
void ps_ref_act_free(ps_backend *be, ps_act *act);
int ps_ref_act_put(ps_backend *be, ps_act *act, const float *nchw);
int ps_ref_act_get(ps_backend *be, const ps_act *act, float *nchw);
int ps_ref_act_put_u8(ps_backend *be, ps_act *act, const uint8_t *nhwc,
                      const struct ps_input_norm *norm);
int ps_ref_act_add(ps_backend *be, ps_act *dst, const ps_act *src);
int ps_ref_act_to_mat(ps_backend *be, const ps_act *act, struct ps_mat out);
int ps_ref_act_from_mat(ps_backend *be, ps_act *act, struct ps_mat in);

ps_node *ps_ref_node_new(ps_backend *be, const struct ps_op_desc *desc, enum ps_mode mode,
                         int inputs, ps_act *const *in, ps_act *out, ps_act *dout,
                         ps_act *const *din);
void ps_ref_node_free(ps_backend *be, ps_node *node);
int ps_ref_node_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state);
int ps_ref_node_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                         ps_vec *grads, bool accumulate);
const char *ps_ref_node_describe(const ps_backend *be, const ps_node *node);

int ps_ref_gemm(ps_backend *be, bool ta, bool tb, double alpha, struct ps_mat a, struct ps_mat b,
                double beta, struct ps_mat c);
int ps_ref_normalize(ps_backend *be, struct ps_mat x, struct ps_mat y, struct ps_mat norm);
int ps_ref_normalize_grad(ps_backend *be, struct ps_mat y, struct ps_mat norm, struct ps_mat dy,
                          struct ps_mat dx, bool accumulate);
int ps_ref_interpolate(ps_backend *be, struct ps_mat x, const int32_t *first, const int32_t *second,
                       const float *lambda, struct ps_mat out);
int ps_ref_interpolate_grad(ps_backend *be, struct ps_mat dout, const int32_t *first,
                            const int32_t *second, const float *lambda, struct ps_mat dx);
int ps_ref_softmax_loss(ps_backend *be, struct ps_mat z, const int32_t *label,
                        const int32_t *label2, const float *weight,
                        const struct ps_softmax_desc *desc, double *loss);
int ps_ref_softtriple(ps_backend *be, struct ps_mat z, int centers, double gamma, struct ps_mat s);
int ps_ref_softtriple_grad(ps_backend *be, struct ps_mat z, int centers, double gamma,
                           struct ps_mat s, struct ps_mat ds);
int ps_ref_softtriple_regularizer(ps_backend *be, struct ps_mat w, int centers, double tau,
                                  struct ps_mat dw, double *loss);
int ps_ref_proxy_anchor(ps_backend *be, struct ps_mat z, const int32_t *label, double alpha,
                        double delta, double *loss);
int ps_ref_nearest(ps_backend *be, struct ps_mat query, struct ps_mat gallery, int32_t first, int k,
                   float *value, int32_t *index);
int ps_ref_update(ps_backend *be, const struct ps_update_desc *desc, ps_vec *params,
                  const ps_vec *grads, ps_vec *m, ps_vec *v, size_t offset, size_t n);

#endif
