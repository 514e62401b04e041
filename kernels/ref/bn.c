/*
 * Batch normalisation with batch statistics, over the N H W elements of a channel:
 * xhat = (x - mean) / sqrt(var + eps), y = gamma xhat + beta, and
 * dx = gamma / sqrt(var + eps) (dy - mean(dy) - xhat mean(dy xhat)) (Ioffe & Szegedy 2015).
 */
#include "kernels/ref/ref.h"

#include <math.h>

/* Mean and 1 / sqrt(var + eps) of each channel. */
static size_t bn_saved(const ps_node *node)
{
    return 2 * (size_t)node->out->shape.c;
}

/* Sum of (x - mean)^power dy over the elements of channel c; dy NULL stands for ones. */
static double channel_sum(const ps_act *x, size_t c, double mean, int power, const double *dy)
{
    size_t plane = ps_ref_plane(x->shape), channels = (size_t)x->shape.c;
    double sum = 0;
    for (size_t n = 0; n < (size_t)x->shape.n; n++)
        for (size_t i = (n * channels + c) * plane; i < (n * channels + c + 1) * plane; i++) {
            double term = dy ? dy[i] : 1;
            for (int k = 0; k < power; k++)
                term *= x->x[i] - mean;
            sum += term;
        }
    return sum;
}

static int bn_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    (void)be;
    const struct ps_op_desc *d = &node->desc;
    const ps_act *x = node->in[0];
    size_t plane = ps_ref_plane(x->shape), channels = (size_t)x->shape.c;
    double count = (double)((size_t)x->shape.n * plane);
    for (size_t c = 0; c < channels; c++) {
        double mean = channel_sum(x, c, 0, 1, NULL) / count;
        double squares = channel_sum(x, c, mean, 2, NULL);
        double inverse = 1 / sqrt(squares / count + (double)d->eps);
        for (size_t n = 0; n < (size_t)x->shape.n; n++)
            for (size_t i = (n * channels + c) * plane; i < (n * channels + c + 1) * plane; i++)
                node->out->x[i] =
                    (x->x[i] - mean) * inverse * params->x[d->gamma + c] + params->x[d->beta + c];
        node->saved[c] = mean;
        node->saved[channels + c] = inverse;
        double unbiased = count > 1 ? squares / (count - 1) : 0;
        double *running_mean = &state->x[d->mean + c], *running_var = &state->x[d->var + c];
        *running_mean += (double)d->momentum * (mean - *running_mean);
        *running_var += (double)d->momentum * (unbiased - *running_var);
    }
    ps_ref_finish(node);
    return 0;
}

static int bn_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                       ps_vec *grads, bool accumulate)
{
    (void)be;
    (void)state;
    const struct ps_op_desc *d = &node->desc;
    const ps_act *x = node->in[0];
    const double *dy = node->dout->x;
    size_t plane = ps_ref_plane(x->shape), channels = (size_t)x->shape.c;
    double count = (double)((size_t)x->shape.n * plane);
    double *dgamma = ps_ref_gradient(grads, d->gamma, channels, accumulate);
    double *dbeta = ps_ref_gradient(grads, d->beta, channels, accumulate);
    ps_ref_finish_grad(node);
    for (size_t c = 0; c < channels; c++) {
        double mean = node->saved[c], inverse = node->saved[channels + c];
        double sum_dy = channel_sum(x, c, mean, 0, dy);
        double sum_dy_xhat = channel_sum(x, c, mean, 1, dy) * inverse;
        if (dgamma)
            dgamma[c] += sum_dy_xhat;
        if (dbeta)
            dbeta[c] += sum_dy;
        if (!node->din[0])
            continue;
        for (size_t n = 0; n < (size_t)x->shape.n; n++)
            for (size_t i = (n * channels + c) * plane; i < (n * channels + c + 1) * plane; i++) {
                double xhat = (x->x[i] - mean) * inverse;
                node->din[0]->x[i] = params->x[d->gamma + c] * inverse *
                                     (dy[i] - sum_dy / count - xhat * sum_dy_xhat / count);
            }
    }
    return 0;
}

const struct ps_ref_op ps_ref_bn = {bn_saved, bn_forward, bn_backward};
