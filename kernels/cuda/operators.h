/*
 * Kernels of the network's operators other than convolution and the linear layer. Activations are
 * channels last, (n, h, w, c) float32: a matrix of n h w rows and c columns. Otherwise as
 * kernels.h. What receives a gradient is overwritten, except parameters' gradients where
 * `accumulate` is set.
 */
#ifndef PS_KERNELS_CUDA_OPERATORS_H
#define PS_KERNELS_CUDA_OPERATORS_H

#include "kernels/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* layout.cu: also of weights (O, I, k, k) to (O, k, k, I), with shape n = O, c = I. */
int ps_cuda_to_channels_last(const float *nchw, float *nhwc, struct ps_shape shape,
                             ps_cuda_stream stream);
int ps_cuda_to_channels_first(const float *nhwc, float *nchw, struct ps_shape shape,
                              ps_cuda_stream stream);
/* Columns of a matrix: to[row * to_stride + j] = from[row * from_stride + j], j < cols.
 * Concatenation and its gradient are one call an input. */
int ps_cuda_columns(const float *from, size_t from_stride, float *to, size_t to_stride, size_t rows,
                    int cols, ps_cuda_stream stream);

/* pointwise.cu: y = [relu](y + bias + residual) over (rows, channels); bias, residual may be NULL
 */
int ps_cuda_finish(float *y, const float *bias, const float *residual, bool relu, size_t rows,
                   int channels, ps_cuda_stream stream);
/* Where y is what finish left: dy becomes the gradient before ReLU, dresidual (may be NULL or dy)
 * receives it too. */
int ps_cuda_finish_grad(const float *y, float *dy, float *dresidual, bool relu, size_t n,
                        ps_cuda_stream stream);
/* y = [relu](a + b); b may be NULL. Its gradient is finish_grad's. */
int ps_cuda_add(const float *a, const float *b, float *y, bool relu, size_t n,
                ps_cuda_stream stream);

/* pool.cu */
struct ps_cuda_window {
    int kernel, stride, pad; /* kernel at most 15 */
};
/* argmax (as y) receives which element of the window was largest, the first of equal ones; NULL for
 * inference. */
int ps_cuda_maxpool(const float *x, float *y, uint8_t *argmax, struct ps_shape in,
                    struct ps_shape out, struct ps_cuda_window window, ps_cuda_stream stream);
int ps_cuda_maxpool_grad(const float *dy, const uint8_t *argmax, float *dx, struct ps_shape in,
                         struct ps_shape out, struct ps_cuda_window window, ps_cuda_stream stream);
/* Zeros of the padding are counted. */
int ps_cuda_avgpool(const float *x, float *y, struct ps_shape in, struct ps_shape out,
                    struct ps_cuda_window window, ps_cuda_stream stream);
int ps_cuda_avgpool_grad(const float *dy, float *dx, struct ps_shape in, struct ps_shape out,
                         struct ps_cuda_window window, ps_cuda_stream stream);
/* y (n, c); argmax (n, c) is needed by the gradient unless pooling is the average */
int ps_cuda_global(const float *x, float *y, int32_t *argmax, struct ps_shape in,
                   enum ps_pooling pooling, ps_cuda_stream stream);
int ps_cuda_global_grad(const float *dy, const int32_t *argmax, float *dx, struct ps_shape in,
                        enum ps_pooling pooling, ps_cuda_stream stream);

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
int ps_cuda_batch_norm(const float *x, float *y, const struct ps_cuda_batch_bn *bn, size_t rows,
                       int channels, double *scratch, float *saved, ps_cuda_stream stream);
/* dgamma, dbeta, dx may be NULL; dx may be dy. */
int ps_cuda_batch_norm_grad(const float *x, const float *dy, const float *gamma, const float *saved,
                            float *dgamma, float *dbeta, float *dx, bool accumulate, size_t rows,
                            int channels, double *scratch, float *sums, ps_cuda_stream stream);
/* out (channels) = or += sums over the rows: the gradient of a bias. */
int ps_cuda_column_sums(const float *x, float *out, bool accumulate, size_t rows, int channels,
                        double *scratch, ps_cuda_stream stream);

#ifdef __cplusplus
}
#endif

#endif
