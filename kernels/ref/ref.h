/*
 * The reference backend, which the other backends are tested against: every operator is plain loops
 * over doubles, straight from its formula, so clarity comes before speed. Activations are (N, C, H,
 * W) without gaps. Functions return 0, or -1 with the reason recorded.
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

/* The functions of an operator; the node has been checked against its vectors. */
struct ps_ref_op {
    size_t (*saved)(const ps_node *node); /* doubles that forward keeps for backward; NULL: none */
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
    double *saved;                      /* see ps_ref_op; NULL for INFER */
    size_t params_needed, state_needed; /* least lengths of params and state */
    char text[sizeof((struct ps_node_facts *)NULL)->text];
};

#define PS_REF_OP(OP, name, inputs) extern const struct ps_ref_op ps_ref_##name;
PS_OPERATORS(PS_REF_OP)

/* Records the reason; returns -1. */
int ps_ref_fail(ps_backend *be, const char *format, ...) __attribute__((format(printf, 2, 3)));
int ps_ref_threads(const ps_backend *be);

/* Checks that v holds the elements [offset, offset + n). */
int ps_ref_range(ps_backend *be, const ps_vec *v, size_t offset, size_t n);
/* The first element of a matrix, after a check that it lies inside its vector; NULL if not. */
double *ps_ref_mat(ps_backend *be, struct ps_mat m);

static inline size_t ps_ref_count(struct ps_shape s)
{
    return (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

static inline size_t ps_ref_plane(struct ps_shape s)
{
    return (size_t)s.h * (size_t)s.w;
}

/* The tensor at an offset of params, state or grads; NULL if the operator has none. */
static inline double *ps_ref_at(const ps_vec *v, size_t offset)
{
    return v && offset != PS_ABSENT ? v->x + offset : NULL;
}

/* A parameter's n gradients, to be added to: zeroed unless `accumulate`; NULL: not wanted. */
double *ps_ref_gradient(ps_vec *grads, size_t offset, size_t n, bool accumulate);

/* max(x, 0), and at most the cap of the operator's ReLU, if it has one; NaN passes. Is the gradient
 * passed on where the output is y? */
static inline double ps_ref_rectify(const struct ps_op_desc *desc, double x)
{
    double cap = (double)desc->relu_cap;
    return x < 0 ? 0 : cap > 0 && x > cap ? cap : x;
}

static inline bool ps_ref_passes(const struct ps_op_desc *desc, double y)
{
    return y > 0 && !(desc->relu_cap > 0 && y >= (double)desc->relu_cap);
}

/* out = [relu](out [+ residual]): the end of forward for operators with these flags. */
void ps_ref_finish(const ps_node *node);
/* The gradient of that: masks dout in place, and copies it to the residual's din. */
void ps_ref_finish_grad(const ps_node *node);

#define PS_OPERATION(result, name, arguments) result ps_ref_##name arguments;
#include "kernels/operations.h"

#endif
