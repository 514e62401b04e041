/*
 * Kernels of the network's operators other than convolution and the linear layer. Activations are
 * channels last, (n, h, w, c): a matrix of n h w rows and c columns. Otherwise as kernels.h. What
 * receives a gradient is overwritten, except parameters' gradients where
 * `accumulate` is set.
 */
#ifndef PS_KERNELS_CUDA_OPERATORS_H
#define PS_KERNELS_CUDA_OPERATORS_H

#include "kernels/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* layout.cu: also of weights (O, I, k, k) to (O, k, k, I), with shape n = O, c = I. */
int ps_cuda_to_channels_last(const float *nchw, void *nhwc, enum ps_cuda_type type,
                             struct ps_shape shape, ps_cuda_stream stream);
int ps_cuda_to_channels_first(const void *nhwc, enum ps_cuda_type type, float *nchw,
                              struct ps_shape shape, ps_cuda_stream stream);
/* n elements, rounded to the nearest. */
int ps_cuda_narrow(const float *from, void *to, enum ps_cuda_type type, size_t n,
                   ps_cuda_stream stream);
int ps_cuda_widen(const void *from, enum ps_cuda_type type, float *to, size_t n,
                  ps_cuda_stream stream);
/* Columns of a matrix: to[row * to_stride + j] = from[row * from_stride + j], j < cols.
 * Concatenation and its gradient are one call an input. */
int ps_cuda_columns(const void *from, size_t from_stride, void *to, size_t to_stride,
                    enum ps_cuda_type type, size_t rows, int cols, ps_cuda_stream stream);

/* pointwise.cu: y = [relu](y + bias + residual) over (rows, channels); bias, residual may be NULL
 */
int ps_cuda_finish(void *y, const void *bias, const void *residual, enum ps_cuda_type type,
                   bool relu, size_t rows, int channels, ps_cuda_stream stream);
/* Where y is what finish left: dy becomes the gradient before ReLU, dresidual (may be NULL or dy)
 * receives it too. */
int ps_cuda_finish_grad(const void *y, void *dy, void *dresidual, enum ps_cuda_type type, bool relu,
                        size_t n, ps_cuda_stream stream);
/* y = [relu](a + b); b may be NULL, y may be a. Its gradient is finish_grad's. */
int ps_cuda_add(const void *a, const void *b, void *y, enum ps_cuda_type type, bool relu, size_t n,
                ps_cuda_stream stream);

/* pool.cu */
struct ps_cuda_window {
    int kernel, stride, pad; /* kernel at most 15 */
};
/* argmax (as y) receives which element of the window was largest, the first of equal ones; NULL for
 * inference. */
int ps_cuda_maxpool(const void *x, void *y, enum ps_cuda_type type, uint8_t *argmax,
                    struct ps_shape in, struct ps_shape out, struct ps_cuda_window window,
                    ps_cuda_stream stream);
int ps_cuda_maxpool_grad(const void *dy, const uint8_t *argmax, void *dx, enum ps_cuda_type type,
                         struct ps_shape in, struct ps_shape out, struct ps_cuda_window window,
                         ps_cuda_stream stream);
/* Zeros of the padding are counted. */
int ps_cuda_avgpool(const void *x, void *y, enum ps_cuda_type type, struct ps_shape in,
                    struct ps_shape out, struct ps_cuda_window window, ps_cuda_stream stream);
int ps_cuda_avgpool_grad(const void *dy, void *dx, enum ps_cuda_type type, struct ps_shape in,
                         struct ps_shape out, struct ps_cuda_window window, ps_cuda_stream stream);
/* y (n, c); argmax (n, c) is needed by the gradient unless pooling is the average */
int ps_cuda_global(const void *x, void *y, enum ps_cuda_type type, int32_t *argmax,
                   struct ps_shape in, enum ps_pooling pooling, ps_cuda_stream stream);
int ps_cuda_global_grad(const void *dy, const int32_t *argmax, void *dx, enum ps_cuda_type type,
                        struct ps_shape in, enum ps_pooling pooling, ps_cuda_stream stream);

/*
 * bn.cu: statistics of the batch over `rows`. scratch: PS_CUDA_SPLITS * 2 * channels doubles;
 * saved: 2 * channels floats (mean, 1 / sqrt(var + eps)) that the gradient needs; sums: as many
 * floats of scratch. Residual and ReLU are finish's.
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
/* out (channels) = or += sums over the rows: the gradient of a bias. */
int ps_cuda_column_sums(const void *x, enum ps_cuda_type type, float *out, bool accumulate,
                        size_t rows, int channels, double *scratch, ps_cuda_stream stream);

#ifdef __cplusplus
}
#endif

#endif
