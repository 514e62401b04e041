/*
 * The stand-in's convolutions, always in float32: tensors of 16 bits are widened first and the
 * result is rounded once; factors are rounded if the math type is TF32's.
 */
#include "tests/cuda-emu/convolution.h"
#include "tests/cuda-emu/sixteen.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 16 };

struct problem standin_pose(enum pass pass, cudnnHandle_t handle, cudnnTensorDescriptor_t x,
                            cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t conv,
                            cudnnTensorDescriptor_t y)
{
    standin_check(handle, STANDIN_DNN, "a convolution");
    standin_check(x, STANDIN_TENSOR, "a convolution's input");
    standin_check(y, STANDIN_TENSOR, "a convolution's output");
    standin_check(w, STANDIN_FILTER, "a convolution's filter");
    standin_check(conv, STANDIN_CONVOLUTION, "a convolution");
    if (!x->n || !y->n || !w->k || !conv->stride)
        standin_die("a convolution with a descriptor that was not set");
    if (x->type != y->type || x->type != w->type)
        standin_die("a convolution of tensors of different types");
    struct problem p = {pass, x, y, w, conv};
    int h = (x->h + 2 * conv->pad - w->h) / conv->stride + 1;
    int width = (x->w + 2 * conv->pad - w->w) / conv->stride + 1;
    if (x->c != w->c * standin_groups(&p) || w->k % standin_groups(&p) || y->n != x->n ||
        y->c != w->k || y->h != h || y->w != width)
        standin_die("a convolution of %d x %d x %d x %d in %d groups that does not give %d x %d x "
                    "%d x %d",
                    x->n, x->c, x->h, x->w, standin_groups(&p), y->n, y->c, y->h, y->w);
    return p;
}

static size_t element(const struct problem *p)
{
    return p->x->type == CUDNN_DATA_FLOAT ? 4 : 2;
}

static size_t tensor_count(const struct cudnnTensorStruct *t)
{
    return (size_t)t->n * (size_t)t->c * (size_t)t->h * (size_t)t->w;
}

static size_t filter_count(const struct cudnnFilterStruct *f)
{
    return (size_t)f->k * (size_t)f->c * (size_t)f->h * (size_t)f->w;
}

/* The elements as float32, as factors of the convolution; free() them. */
static float *widen(const struct problem *p, const void *from, size_t n, bool factor)
{
    float *to = malloc(n * sizeof *to);
    if (!to)
        standin_die("out of memory");
    bool tf32 = factor && p->conv->math == CUDNN_TENSOR_OP_MATH;
    for (size_t i = 0; i < n; i++) {
        if (p->x->type == CUDNN_DATA_FLOAT)
            to[i] = tf32 ? round_tf32(((const float *)from)[i]) : ((const float *)from)[i];
        else if (p->x->type == CUDNN_DATA_HALF)
            to[i] = from_half(((const uint16_t *)from)[i]);
        else
            to[i] = from_bf16(((const uint16_t *)from)[i]);
    }
    return to;
}

static void narrow(const struct problem *p, const float *from, void *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p->x->type == CUDNN_DATA_FLOAT)
            ((float *)to)[i] = from[i];
        else if (p->x->type == CUDNN_DATA_HALF)
            ((uint16_t *)to)[i] = to_half(from[i]);
        else
            ((uint16_t *)to)[i] = to_bf16(from[i]);
    }
}

/* Checks the memory of a pass; device memory is accessible afterwards. */
static void begin(cudnnHandle_t handle, const struct problem *p, const void *x, const void *w,
                  const void *y, void *workspace, size_t bytes)
{
    size_t each = element(p);
    standin_device_range(workspace, bytes, ALIGNMENT, "workspace");
    standin_device_range(x, tensor_count(p->x) * each, ALIGNMENT, "a convolution's input");
    standin_device_range(y, tensor_count(p->y) * each, ALIGNMENT, "a convolution's output");
    standin_device_range(w, filter_count(p->w) * each, ALIGNMENT, "a convolution's filter");
    standin_begin(handle->stream);
    memset(workspace, 0xff, bytes);
}

void standin_try(cudnnHandle_t handle, const struct problem *p, const void *x, const void *w,
                 const void *y, void *workspace, size_t bytes)
{
    const void *result[] = {[PASS_FORWARD] = y, [PASS_DATA] = x, [PASS_FILTER] = w};
    size_t count[] = {[PASS_FORWARD] = tensor_count(p->y),
                      [PASS_DATA] = tensor_count(p->x),
                      [PASS_FILTER] = filter_count(p->w)};
    begin(handle, p, x, w, y, workspace, bytes);
    memset((void *)(uintptr_t)result[p->pass], 0xff, count[p->pass] * element(p));
    standin_end();
}

/* A group of channels of a pixel of y and the filter tap that connects it to a pixel of x: x has
 * `inputs` channels, y `outputs`, w a row of `inputs` for each output, `each` floats apart. */
struct connection {
    float *x, *w, *y;
    size_t each, outputs;
    int inputs;
};

/* The pixel of x under a tap; false: padding. */
static bool input_pixel(const struct problem *p, size_t position, int tap, size_t *at_x)
{
    int h = p->y->h, w = p->y->w, ky = tap / p->w->w, kx = tap % p->w->w;
    int x = (int)(position % (size_t)w) * p->conv->stride - p->conv->pad + kx;
    int y = (int)(position / (size_t)w % (size_t)h) * p->conv->stride - p->conv->pad + ky;
    size_t image = position / (size_t)w / (size_t)h, c = (size_t)p->x->c;
    *at_x = ((image * (size_t)p->x->h + (size_t)y) * (size_t)p->x->w + (size_t)x) * c;
    return x >= 0 && y >= 0 && x < p->x->w && y < p->x->h;
}

static void to_output(const struct connection *m)
{
    for (size_t o = 0; o < m->outputs; o++) {
        const float *x = m->x, *w = m->w + o * m->each;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < m->inputs; i++)
            sum += x[i] * w[i];
        m->y[o] += sum;
    }
}

/* y += a x */
static void add(float *y, float a, const float *x, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void to_input(const struct connection *m)
{
    for (size_t o = 0; o < m->outputs; o++)
        add(m->x, m->y[o], m->w + o * m->each, m->inputs);
}

static void to_filter(const struct connection *m)
{
    for (size_t o = 0; o < m->outputs; o++)
        add(m->w + o * m->each, m->y[o], m->x, m->inputs);
}

static void visit_all(const struct problem *p, float *x, float *w, float *y)
{
    static void (*const visits[])(const struct connection *) = {
        [PASS_FORWARD] = to_output, [PASS_DATA] = to_input, [PASS_FILTER] = to_filter};
    size_t groups = (size_t)standin_groups(p), all = (size_t)p->y->c;
    struct connection m = {
        .outputs = all / groups, .inputs = p->w->c, .each = filter_count(p->w) / all};
    size_t at_x, positions = tensor_count(p->y) / all;
    for (size_t position = 0; position < positions; position++)
        for (int tap = 0; tap < p->w->h * p->w->w; tap++) {
            if (!input_pixel(p, position, tap, &at_x))
                continue;
            for (size_t group = 0; group < groups; group++) {
                m.x = x + at_x + group * (size_t)m.inputs;
                m.w = w + tap * m.inputs + group * m.outputs * m.each;
                m.y = y + position * all + group * m.outputs;
                visits[p->pass](&m);
            }
        }
}

/* The epilogue of a forward pass; all NULL for none. */
struct finish {
    const void *bias, *residual;
    bool relu;
};

static void apply(const struct problem *p, const struct finish *f, float *y)
{
    size_t n = tensor_count(p->y), channels = (size_t)p->y->c;
    float *bias = f->bias ? widen(p, f->bias, channels, false) : NULL;
    float *residual = f->residual ? widen(p, f->residual, n, false) : NULL;
    for (size_t i = 0; i < n; i++) {
        y[i] += (bias ? bias[i % channels] : 0) + (residual ? residual[i] : 0);
        if (f->relu && !(y[i] > 0)) /* so that NaN does not pass */
            y[i] = 0;
    }
    free(bias);
    free(residual);
}

static void run(cudnnHandle_t handle, const struct problem *p, const void *x, const void *w,
                const void *y, int algorithm, void *workspace, size_t bytes,
                const struct finish *finish)
{
    standin_need_good(p, algorithm);
    if (bytes < standin_workspace(p, algorithm))
        standin_die("a convolution with a workspace of %zu bytes", bytes);
    begin(handle, p, x, w, y, workspace, bytes);
    size_t count[] = {tensor_count(p->x), filter_count(p->w), tensor_count(p->y)};
    const void *device[] = {x, w, y};
    int result = p->pass == PASS_FORWARD ? 2 : p->pass == PASS_DATA ? 0 : 1;
    float *wide[3];
    for (int i = 0; i < 3; i++)
        wide[i] = widen(p, device[i], count[i], true);
    memset(wide[result], 0, count[result] * sizeof(float));
    visit_all(p, wide[0], wide[1], wide[2]);
    if (finish)
        apply(p, finish, wide[2]);
    narrow(p, wide[result], (void *)(uintptr_t)device[result], count[result]);
    for (int i = 0; i < 3; i++)
        free(wide[i]);
    standin_end();
}

static void need_plain(const void *alpha, const void *beta)
{
    if (*(const float *)alpha != 1 || *(const float *)beta != 0)
        standin_die("a convolution with alpha %g and beta %g", (double)*(const float *)alpha,
                    (double)*(const float *)beta);
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha,
                                      const cudnnTensorDescriptor_t x_desc, const void *x,
                                      const cudnnFilterDescriptor_t w_desc, const void *w,
                                      const cudnnConvolutionDescriptor_t conv,
                                      cudnnConvolutionFwdAlgo_t algorithm, void *workspace,
                                      size_t bytes, const void *beta,
                                      const cudnnTensorDescriptor_t y_desc, void *y)
{
    struct problem p = standin_pose(PASS_FORWARD, handle, x_desc, w_desc, conv, y_desc);
    need_plain(alpha, beta);
    run(handle, &p, x, w, y, (int)algorithm, workspace, bytes, NULL);
    return CUDNN_STATUS_SUCCESS;
}

/* Large filters are not supported, so that the fallback is tested. */
cudnnStatus_t cudnnConvolutionBiasActivationForward(
    cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t x_desc, const void *x,
    const cudnnFilterDescriptor_t w_desc, const void *w, const cudnnConvolutionDescriptor_t conv,
    cudnnConvolutionFwdAlgo_t algorithm, void *workspace, size_t bytes, const void *beta,
    const cudnnTensorDescriptor_t z_desc, const void *z, const cudnnTensorDescriptor_t bias_desc,
    const void *bias, const cudnnActivationDescriptor_t activation,
    const cudnnTensorDescriptor_t y_desc, void *y)
{
    struct problem p = standin_pose(PASS_FORWARD, handle, x_desc, w_desc, conv, y_desc);
    standin_check(bias_desc, STANDIN_TENSOR, "a bias");
    standin_check(activation, STANDIN_ACTIVATION, "an activation");
    float residual = *(const float *)beta;
    if (algorithm != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM || !activation->set)
        standin_die("a fused convolution by algorithm %d", (int)algorithm);
    if (*(const float *)alpha != 1 || (residual != 0 && residual != 1) || z_desc != y_desc)
        standin_die("a fused convolution with alpha %g and %g, or another shape of the residual",
                    (double)*(const float *)alpha, (double)residual);
    if (bias_desc->type != p.y->type || bias_desc->n != 1 || bias_desc->c != p.y->c ||
        bias_desc->h != 1 || bias_desc->w != 1)
        standin_die("a fused convolution with a bias of another shape or type");
    standin_device_range(bias, (size_t)bias_desc->c * element(&p), ALIGNMENT, "a bias");
    standin_device_range(z, tensor_count(p.y) * element(&p), ALIGNMENT, "a residual");
    if (p.w->h > 5)
        return CUDNN_STATUS_NOT_SUPPORTED;
    struct finish finish = {bias, residual == 1 ? z : NULL, activation->relu};
    run(handle, &p, x, w, y, (int)algorithm, workspace, bytes, &finish);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha,
                                           const cudnnFilterDescriptor_t w_desc, const void *w,
                                           const cudnnTensorDescriptor_t dy_desc, const void *dy,
                                           const cudnnConvolutionDescriptor_t conv,
                                           cudnnConvolutionBwdDataAlgo_t algorithm, void *workspace,
                                           size_t bytes, const void *beta,
                                           const cudnnTensorDescriptor_t dx_desc, void *dx)
{
    struct problem p = standin_pose(PASS_DATA, handle, dx_desc, w_desc, conv, dy_desc);
    need_plain(alpha, beta);
    run(handle, &p, dx, w, dy, (int)algorithm, workspace, bytes, NULL);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha,
                                             const cudnnTensorDescriptor_t x_desc, const void *x,
                                             const cudnnTensorDescriptor_t dy_desc, const void *dy,
                                             const cudnnConvolutionDescriptor_t conv,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm,
                                             void *workspace, size_t bytes, const void *beta,
                                             const cudnnFilterDescriptor_t dw_desc, void *dw)
{
    struct problem p = standin_pose(PASS_FILTER, handle, x_desc, dw_desc, conv, dy_desc);
    need_plain(alpha, beta);
    run(handle, &p, x, dw, dy, (int)algorithm, workspace, bytes, NULL);
    return CUDNN_STATUS_SUCCESS;
}
