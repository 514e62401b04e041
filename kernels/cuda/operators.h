/*
 * Kernels of the network's operators other than convolution and the linear layer, with kernels.h's
 * conventions. Activations are channels last, (N, H, W, C): matrices (N H W, C). Gradients are
 * overwritten, except those of parameters if `accumulate`.
 */
#ifndef PS_KERNELS_CUDA_OPERATORS_H
#define PS_KERNELS_CUDA_OPERATORS_H

#include "kernels/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* layout.cu; also for weights, (O, I, k, k) to (O, k, k, I), with n = O and c = I. */
int ps_cuda_to_channels_last(const float *nchw, void *nhwc, enum ps_cuda_type type,
                             struct ps_shape shape, ps_cuda_stream stream);
int ps_cuda_to_channels_first(const void *nhwc, enum ps_cuda_type type, float *nchw,
                              struct ps_shape shape, ps_cuda_stream stream);
/* Conversion of n elements; narrow rounds to nearest even. */
int ps_cuda_narrow(const float *from, void *to, enum ps_cuda_type type, size_t n,
                   ps_cuda_stream stream);
int ps_cuda_widen(const void *from, enum ps_cuda_type type, float *to, size_t n,
                  ps_cuda_stream stream);
/* Columns of a matrix: to[row * to_stride + j] = from[row * from_stride + j], j < cols.
 * Concatenation and its gradient take one call for each input. */
int ps_cuda_columns(const void *from, size_t from_stride, void *to, size_t to_stride,
                    enum ps_cuda_type type, size_t rows, int cols, ps_cuda_stream stream);

/* y = min(max(x, 0), cap) if `on`, else y = x; without a cap if that is 0. */
struct ps_cuda_relu {
    bool on;
    float cap;
};

/* pointwise.cu: y = [relu](y + bias + residual) over (rows, channels); bias, residual or NULL */
int ps_cuda_finish(void *y, const void *bias, const void *residual, enum ps_cuda_type type,
                   struct ps_cuda_relu relu, size_t rows, int channels, ps_cuda_stream stream);
/* Its gradient: dy is masked by `relu`, and copied to dresidual, which may be NULL or dy. */
int ps_cuda_finish_grad(const void *y, void *dy, void *dresidual, enum ps_cuda_type type,
                        struct ps_cuda_relu relu, size_t n, ps_cuda_stream stream);
/* y = [relu](a + b); b may be NULL, y may be a. finish_grad is its gradient. */
int ps_cuda_add(const void *a, const void *b, void *y, enum ps_cuda_type type,
                struct ps_cuda_relu relu, size_t n, ps_cuda_stream stream);

struct ps_cuda_window {
    int kernel, stride, pad;
};

/*
 * depthwise.cu: convolution with a filter for each channel, y = [relu](conv(x, w) + bias +
 * residual). w (k, k, C) and bias (C) are float32, aligned to two of them; bias and residual may be
 * NULL. What lies outside the input is zero, so that the output's shape tells how much
 * padding there is at the end.
 */
struct ps_cuda_depthwise {
    struct ps_shape in, out;
    struct ps_cuda_window window;
};
int ps_cuda_depthwise_forward(const struct ps_cuda_depthwise *conv, enum ps_cuda_type type,
                              const void *x, const float *w, const float *bias,
                              const void *residual, struct ps_cuda_relu relu, void *y,
                              ps_cuda_stream stream);
int ps_cuda_depthwise_data(const struct ps_cuda_depthwise *conv, enum ps_cuda_type type,
                           const void *dy, const float *w, void *dx, ps_cuda_stream stream);
/* dw (C, k, k); scratch: ps_cuda_depthwise_scratch() floats */
size_t ps_cuda_depthwise_scratch(const struct ps_cuda_depthwise *conv);
int ps_cuda_depthwise_filter(const struct ps_cuda_depthwise *conv, enum ps_cuda_type type,
                             const void *x, const void *dy, float *scratch, float *dw,
                             ps_cuda_stream stream);

/* pool.cu: kernels of at most 15. argmax (as y) receives the index of the maximum in its window,
 * the first of equal ones; NULL for inference. */
int ps_cuda_maxpool(const void *x, void *y, enum ps_cuda_type type, uint8_t *argmax,
                    struct ps_shape in, struct ps_shape out, struct ps_cuda_window window,
                    ps_cuda_stream stream);
int ps_cuda_maxpool_grad(const void *dy, const uint8_t *argmax, void *dx, enum ps_cuda_type type,
                         struct ps_shape in, struct ps_shape out, struct ps_cuda_window window,
                         ps_cuda_stream stream);
/* Padding counts, as zeros. */
int ps_cuda_avgpool(const void *x, void *y, enum ps_cuda_type type, struct ps_shape in,
                    struct ps_shape out, struct ps_cuda_window window, ps_cuda_stream stream);
int ps_cuda_avgpool_grad(const void *dy, void *dx, enum ps_cuda_type type, struct ps_shape in,
                         struct ps_shape out, struct ps_cuda_window window, ps_cuda_stream stream);
/* y (n, c); the gradient needs argmax (n, c), positions in the map, unless pooling is AVG. */
int ps_cuda_global(const void *x, void *y, enum ps_cuda_type type, int32_t *argmax,
                   struct ps_shape in, enum ps_pooling pooling, ps_cuda_stream stream);
int ps_cuda_global_grad(const void *dy, const int32_t *argmax, void *dx, enum ps_cuda_type type,
                        struct ps_shape in, enum ps_pooling pooling, ps_cuda_stream stream);

/* layernorm.cu: rows of x (rows, cols) become y (rows, cols) with mean 0 and variance 1; x and dx
 * are of `type`, y and dy float32. */
int ps_cuda_layernorm(const void *x, enum ps_cuda_type type, float *y, float eps, int rows,
                      int cols, ps_cuda_stream stream);
int ps_cuda_layernorm_grad(const void *x, const float *y, const float *dy, void *dx,
                           enum ps_cuda_type type, float eps, int rows, int cols,
                           ps_cuda_stream stream);

/*
 * bn.cu: batch statistics over `rows`. scratch: PS_CUDA_SPLITS * 2 * channels doubles; saved: 2 *
 * channels floats (mean, 1 / sqrt(var + eps)) that the gradient needs; sums: as many floats of
 * scratch. Residual and ReLU are left to ps_cuda_finish.
 */
enum { PS_CUDA_SPLITS = 64 };
struct ps_cuda_batch_bn {
    const float *gamma, *beta;
    float *running_mean, *running_var;
    float eps, momentum;
};
int ps_cuda_batch_norm(const void *x, void *y, enum ps_cuda_type type,
                       const struct ps_cuda_batch_bn *bn, size_t rows, int channels,
                       double *scratch, float *saved, ps_cuda_stream stream);
/* dgamma, dbeta, dx may be NULL; dx may be dy. */
int ps_cuda_batch_norm_grad(const void *x, const void *dy, void *dx, enum ps_cuda_type type,
                            const float *gamma, const float *saved, float *dgamma, float *dbeta,
                            bool accumulate, size_t rows, int channels, double *scratch,
                            float *sums, ps_cuda_stream stream);
/* out (channels) = or += the column sums: the gradient of a bias. */
int ps_cuda_column_sums(const void *x, enum ps_cuda_type type, float *out, bool accumulate,
                        size_t rows, int channels, double *scratch, ps_cuda_stream stream);

#ifdef __cplusplus
}
#endif

#endif
