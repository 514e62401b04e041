/* Pooling. A maximum's gradient goes to its first occurrence in the window, row by row. */
#include "kernels/ref/ref.h"

#include <math.h>
#include <string.h>

struct window {
    size_t out;         /* index of the output element */
    const double *x;    /* the input plane */
    size_t plane;       /* index of its first element in the input */
    int y0, y1, x0, x1; /* the window clipped to the input: [y0, y1) x [x0, x1) */
    int area;           /* of the window clipped to the padded input */
};

static int largest(int a, int b)
{
    return a > b ? a : b;
}

static int smallest(int a, int b)
{
    return a < b ? a : b;
}

/* Calls visit for every output element. */
static void each_window(const ps_node *node, void (*visit)(const ps_node *, const struct window *))
{
    const struct ps_op_desc *d = &node->desc;
    struct ps_shape in = node->in[0]->shape, out = node->out->shape;
    size_t planes = (size_t)in.n * (size_t)in.c, index = 0;
    for (size_t p = 0; p < planes; p++)
        for (int oy = 0; oy < out.h; oy++)
            for (int ox = 0; ox < out.w; ox++) {
                int top = oy * d->stride - d->pad, left = ox * d->stride - d->pad;
                int bottom = smallest(top + d->kernel, in.h + d->pad);
                int right = smallest(left + d->kernel, in.w + d->pad);
                struct window w = {
                    .out = index++,
                    .plane = p * ps_ref_plane(in),
                    .x = node->in[0]->x + p * ps_ref_plane(in),
                    .y0 = largest(top, 0),
                    .y1 = smallest(bottom, in.h),
                    .x0 = largest(left, 0),
                    .x1 = smallest(right, in.w),
                    .area = (bottom - top) * (right - left),
                };
                visit(node, &w);
            }
}

static size_t at(const ps_node *node, int y, int x)
{
    return (size_t)y * (size_t)node->in[0]->shape.w + (size_t)x;
}

/* A NaN counts as the largest. */
static size_t argmax(const ps_node *node, const struct window *w)
{
    size_t best = at(node, w->y0, w->x0);
    for (int y = w->y0; y < w->y1; y++)
        for (int x = w->x0; x < w->x1; x++) {
            size_t i = at(node, y, x);
            if (w->x[i] > w->x[best] || isnan(w->x[i]))
                best = i;
        }
    return best;
}

static void max_visit(const ps_node *node, const struct window *w)
{
    node->out->x[w->out] = w->x[argmax(node, w)];
}

static void max_grad_visit(const ps_node *node, const struct window *w)
{
    node->din[0]->x[w->plane + argmax(node, w)] += node->dout->x[w->out];
}

static void avg_visit(const ps_node *node, const struct window *w)
{
    double sum = 0;
    for (int y = w->y0; y < w->y1; y++)
        for (int x = w->x0; x < w->x1; x++)
            sum += w->x[at(node, y, x)];
    node->out->x[w->out] = sum / w->area;
}

static void avg_grad_visit(const ps_node *node, const struct window *w)
{
    for (int y = w->y0; y < w->y1; y++)
        for (int x = w->x0; x < w->x1; x++)
            node->din[0]->x[w->plane + at(node, y, x)] += node->dout->x[w->out] / w->area;
}

static void zero_din(const ps_node *node)
{
    memset(node->din[0]->x, 0, ps_ref_count(node->in[0]->shape) * sizeof(double));
}

static int max_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    (void)be, (void)params, (void)state;
    each_window(node, max_visit);
    return 0;
}

static int max_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                        ps_vec *grads, bool accumulate)
{
    (void)be, (void)params, (void)state, (void)grads, (void)accumulate;
    if (node->din[0]) {
        zero_din(node);
        each_window(node, max_grad_visit);
    }
    return 0;
}

static int avg_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    (void)be, (void)params, (void)state;
    each_window(node, avg_visit);
    return 0;
}

static int avg_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                        ps_vec *grads, bool accumulate)
{
    (void)be, (void)params, (void)state, (void)grads, (void)accumulate;
    if (node->din[0]) {
        zero_din(node);
        each_window(node, avg_grad_visit);
    }
    return 0;
}

static size_t first_largest(const double *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best] || isnan(x[i]))
            best = i;
    return best;
}

static int global_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    (void)be, (void)params, (void)state;
    size_t plane = ps_ref_plane(node->in[0]->shape), planes = ps_ref_count(node->out->shape);
    for (size_t p = 0; p < planes; p++) {
        const double *x = node->in[0]->x + p * plane;
        double sum = 0;
        for (size_t i = 0; i < plane; i++)
            sum += x[i];
        double average = sum / (double)plane, max = x[first_largest(x, plane)];
        node->out->x[p] = node->desc.pooling == PS_POOL_AVG   ? average
                          : node->desc.pooling == PS_POOL_MAX ? max
                                                              : average + max;
    }
    return 0;
}

static int global_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                           ps_vec *grads, bool accumulate)
{
    (void)be, (void)params, (void)state, (void)grads, (void)accumulate;
    if (!node->din[0])
        return 0;
    size_t plane = ps_ref_plane(node->in[0]->shape), planes = ps_ref_count(node->out->shape);
    for (size_t p = 0; p < planes; p++) {
        double dy = node->dout->x[p], *dx = node->din[0]->x + p * plane;
        double share = node->desc.pooling == PS_POOL_MAX ? 0 : dy / (double)plane;
        for (size_t i = 0; i < plane; i++)
            dx[i] = share;
        if (node->desc.pooling != PS_POOL_AVG)
            dx[first_largest(node->in[0]->x + p * plane, plane)] += dy;
    }
    return 0;
}

const struct ps_ref_op ps_ref_maxpool = {NULL, max_forward, max_backward};
const struct ps_ref_op ps_ref_avgpool = {NULL, avg_forward, avg_backward};
const struct ps_ref_op ps_ref_global = {NULL, global_forward, global_backward};
