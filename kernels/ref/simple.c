/* ReLU, addition, concatenation, the linear layer and layer normalisation. */
#include "kernels/ref/ref.h"

#include <math.h>
#include <string.h>

static int relu_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    (void)be, (void)params, (void)state;
    size_t n = ps_ref_count(node->out->shape);
    for (size_t i = 0; i < n; i++)
        node->out->x[i] = ps_ref_rectify(&node->desc, node->in[0]->x[i]);
    return 0;
}

static int relu_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                         ps_vec *grads, bool accumulate)
{
    (void)be, (void)params, (void)state, (void)grads, (void)accumulate;
    size_t n = ps_ref_count(node->out->shape);
    for (size_t i = 0; node->din[0] && i < n; i++)
        node->din[0]->x[i] = ps_ref_passes(&node->desc, node->out->x[i]) ? node->dout->x[i] : 0;
    return 0;
}

static int add_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    (void)be, (void)params, (void)state;
    size_t n = ps_ref_count(node->out->shape);
    for (size_t i = 0; i < n; i++) {
        double sum = node->in[0]->x[i] + node->in[1]->x[i];
        node->out->x[i] = node->desc.relu && sum < 0 ? 0 : sum;
    }
    return 0;
}

static int add_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                        ps_vec *grads, bool accumulate)
{
    (void)be, (void)params, (void)state, (void)grads, (void)accumulate;
    size_t n = ps_ref_count(node->out->shape);
    for (size_t i = 0; i < n; i++) {
        double dy = node->desc.relu && !(node->out->x[i] > 0) ? 0 : node->dout->x[i];
        for (int k = 0; k < 2; k++)
            if (node->din[k])
                node->din[k]->x[i] = dy;
    }
    return 0;
}

static int concat_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    (void)be, (void)params, (void)state;
    double *to = node->out->x;
    for (size_t n = 0; n < (size_t)node->out->shape.n; n++)
        for (int i = 0; i < node->inputs; i++) {
            size_t image = (size_t)node->in[i]->shape.c * ps_ref_plane(node->out->shape);
            memcpy(to, node->in[i]->x + n * image, image * sizeof *to);
            to += image;
        }
    return 0;
}

static int concat_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                           ps_vec *grads, bool accumulate)
{
    (void)be, (void)params, (void)state, (void)grads, (void)accumulate;
    const double *from = node->dout->x;
    for (size_t n = 0; n < (size_t)node->out->shape.n; n++)
        for (int i = 0; i < node->inputs; i++) {
            size_t image = (size_t)node->in[i]->shape.c * ps_ref_plane(node->out->shape);
            if (node->din[i])
                memcpy(node->din[i]->x + n * image, from, image * sizeof *from);
            from += image;
        }
    return 0;
}

static int linear_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    (void)be, (void)state;
    size_t channels = (size_t)node->in[0]->shape.c, dim = (size_t)node->out->shape.c;
    const double *weight = params->x + node->desc.weight;
    const double *bias = ps_ref_at(params, node->desc.bias);
    for (size_t n = 0; n < (size_t)node->out->shape.n; n++)
        for (size_t d = 0; d < dim; d++) {
            double sum = bias ? bias[d] : 0;
            for (size_t c = 0; c < channels; c++)
                sum += node->in[0]->x[n * channels + c] * weight[d * channels + c];
            node->out->x[n * dim + d] = sum;
        }
    return 0;
}

static int linear_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                           ps_vec *grads, bool accumulate)
{
    (void)be, (void)state;
    size_t channels = (size_t)node->in[0]->shape.c, dim = (size_t)node->out->shape.c;
    const double *weight = params->x + node->desc.weight, *x = node->in[0]->x;
    double *dweight = ps_ref_gradient(grads, node->desc.weight, dim * channels, accumulate);
    double *dbias = ps_ref_gradient(grads, node->desc.bias, dim, accumulate);
    double *dx = node->din[0] ? node->din[0]->x : NULL;
    if (dx)
        memset(dx, 0, ps_ref_count(node->in[0]->shape) * sizeof *dx);
    for (size_t n = 0; n < (size_t)node->out->shape.n; n++)
        for (size_t d = 0; d < dim; d++) {
            double dy = node->dout->x[n * dim + d];
            if (dbias)
                dbias[d] += dy;
            for (size_t c = 0; dweight && c < channels; c++)
                dweight[d * channels + c] += dy * x[n * channels + c];
            for (size_t c = 0; dx && c < channels; c++)
                dx[n * channels + c] += dy * weight[d * channels + c];
        }
    return 0;
}

/* The mean of x (c), and 1 / sqrt(var + eps). */
static void moments(const double *x, size_t c, double eps, double *mean, double *scale)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < c; i++)
        sum += x[i];
    *mean = sum / (double)c;
    for (size_t i = 0; i < c; i++)
        squares += (x[i] - *mean) * (x[i] - *mean);
    *scale = 1 / sqrt(squares / (double)c + eps);
}

static int layernorm_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    (void)be, (void)params, (void)state;
    size_t channels = (size_t)node->out->shape.c;
    for (size_t n = 0; n < (size_t)node->out->shape.n; n++) {
        const double *x = node->in[0]->x + n * channels;
        double mean, scale;
        moments(x, channels, node->desc.eps, &mean, &scale);
        for (size_t c = 0; c < channels; c++)
            node->out->x[n * channels + c] = (x[c] - mean) * scale;
    }
    return 0;
}

/* dx = scale (dy - mean(dy) - y mean(dy y)) */
static int layernorm_backward(ps_backend *be, ps_node *node, const ps_vec *params,
                              const ps_vec *state, ps_vec *grads, bool accumulate)
{
    (void)be, (void)params, (void)state, (void)grads, (void)accumulate;
    size_t channels = (size_t)node->out->shape.c;
    for (size_t n = 0; node->din[0] && n < (size_t)node->out->shape.n; n++) {
        const double *x = node->in[0]->x + n * channels, *y = node->out->x + n * channels;
        const double *dy = node->dout->x + n * channels;
        double mean, scale, even = 0, along = 0;
        moments(x, channels, node->desc.eps, &mean, &scale);
        for (size_t c = 0; c < channels; c++) {
            even += dy[c] / (double)channels;
            along += dy[c] * y[c] / (double)channels;
        }
        for (size_t c = 0; c < channels; c++)
            node->din[0]->x[n * channels + c] = scale * (dy[c] - even - y[c] * along);
    }
    return 0;
}

const struct ps_ref_op ps_ref_relu = {NULL, relu_forward, relu_backward};
const struct ps_ref_op ps_ref_add = {NULL, add_forward, add_backward};
const struct ps_ref_op ps_ref_concat = {NULL, concat_forward, concat_backward};
const struct ps_ref_op ps_ref_linear = {NULL, linear_forward, linear_backward};
const struct ps_ref_op ps_ref_layernorm = {NULL, layernorm_forward, layernorm_backward};
