/*
 * The kernels of the CUDA backend: each function launches them on a stream and returns at once, 0
 * or a cudaError_t. All pointers are device memory, all matrices row-major; rows and columns are at
 * least 1 unless stated otherwise. Elements behind a `void *` have the type that is passed with it.
 * kernels/operations.h defines what is computed; results do not depend on timing (there are no
 * floating-point atomics).
 */
#ifndef PS_KERNELS_CUDA_KERNELS_H
#define PS_KERNELS_CUDA_KERNELS_H

#include "kernels/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CUstream_st *ps_cuda_stream;

enum ps_cuda_type { PS_CUDA_F32, PS_CUDA_BF16, PS_CUDA_F16 };

/* input.cu: bytes (pixels, 3) to (pixels, 3). */
int ps_cuda_input(const uint8_t *bytes, void *out, enum ps_cuda_type type, size_t pixels,
                  const struct ps_input_norm *norm, ps_cuda_stream stream);

/* vector.cu */
int ps_cuda_axpby(double a, float *y, double b, const float *x, size_t n, ps_cuda_stream stream);
/* out: one double; scratch: PS_CUDA_PARTIALS doubles. n may be 0. */
enum { PS_CUDA_PARTIALS = 256 };
int ps_cuda_sum_squares(const float *x, size_t n, double *scratch, double *out,
                        ps_cuda_stream stream);
/* out = sum of x (n) in a fixed order. */
int ps_cuda_sum(const double *x, size_t n, double *out, ps_cuda_stream stream);

/* rows.cu; x and y may be the same, and so may dy and dx */
int ps_cuda_normalize(const float *x, float *y, float *norm, int rows, int cols,
                      ps_cuda_stream stream);
int ps_cuda_normalize_grad(const float *y, const float *norm, const float *dy, float *dx, int rows,
                           int cols, bool accumulate, ps_cuda_stream stream);

/* synthesis.cu: `pairs` rows interpolated from those of x. pairs may be 0. */
int ps_cuda_interpolate(const float *x, const int32_t *first, const int32_t *second,
                        const float *lambda, float *out, int pairs, int cols,
                        ps_cuda_stream stream);
/* dx has `rows` rows. */
int ps_cuda_interpolate_grad(const float *dout, const int32_t *first, const int32_t *second,
                             const float *lambda, float *dx, int pairs, int rows, int cols,
                             ps_cuda_stream stream);

/* softmax.cu: labels must be valid; row_loss (rows) is scratch, loss one double. */
int ps_cuda_softmax_loss(float *z, int rows, int cols, const int32_t *label, const int32_t *label2,
                         const float *weight, const struct ps_softmax_desc *desc, double *row_loss,
                         double *loss, ps_cuda_stream stream);

/* softtriple.cu: z (rows, classes * centers), s and ds (rows, classes) */
int ps_cuda_softtriple(const float *z, float *s, int rows, int classes, int centers, double gamma,
                       ps_cuda_stream stream);
int ps_cuda_softtriple_grad(float *z, const float *s, const float *ds, int rows, int classes,
                            int centers, double gamma, ps_cuda_stream stream);
/* w, dw (classes * centers, dim), centers <= PS_CUDA_CENTERS; class_loss (classes) is scratch */
enum { PS_CUDA_CENTERS = 32 };
int ps_cuda_softtriple_regularizer(const float *w, float *dw, int classes, int centers, int dim,
                                   double tau, double *class_loss, double *loss,
                                   ps_cuda_stream stream);

/* anchor.cu: labels must be valid; proxy_loss (cols) and positives (1) are scratch */
int ps_cuda_proxy_anchor(float *z, int rows, int cols, const int32_t *label, double alpha,
                         double delta, double *proxy_loss, int32_t *positives, double *loss,
                         ps_cuda_stream stream);

/* update.cu: n elements; m and v as in ps_backend_ops.update, NULL where not used. n may be 0. */
int ps_cuda_update(const struct ps_update_desc *desc, float *params, const float *grads, float *m,
                   float *v, size_t n, ps_cuda_stream stream);

/*
 * topk.cu: the k largest of each row of similarities (rows, cols), descending, ties by ascending
 * index; NaN never counts. An index is a column plus `base`. value and index (rows, k) are in and
 * out: they hold the best of earlier columns (index -1: an empty slot), so that a large gallery is
 * searched in pieces of ascending base. k is at most PS_NEAREST_MOST.
 */
int ps_cuda_topk(const float *similarity, int rows, int cols, int32_t base, int k, float *value,
                 int32_t *index, ps_cuda_stream stream);

/*
 * fold.cu: frozen bn folded into a convolution's `weight` and `bias` (Folded batch norm in
 * ps-method(7)). w is (channels, fan) with fan = I k k; b may be NULL. The gradients of the folded
 * tensors give those of the parameters, written or added; any of dw, db, dgamma, dbeta may be NULL.
 */
struct ps_cuda_bn {
    const float *gamma, *beta, *mean, *var;
    float eps;
};
int ps_cuda_fold(const float *w, const float *b, const struct ps_cuda_bn *bn, float *weight,
                 float *bias, int channels, int fan, ps_cuda_stream stream);
struct ps_cuda_fold_grads {
    float *dw, *db, *dgamma, *dbeta;
    bool accumulate;
};
int ps_cuda_fold_grad(const float *dweight, const float *dbias, const float *w, const float *b,
                      const struct ps_cuda_bn *bn, const struct ps_cuda_fold_grads *grads,
                      int channels, int fan, ps_cuda_stream stream);

#ifdef __cplusplus
}
#endif

#endif
