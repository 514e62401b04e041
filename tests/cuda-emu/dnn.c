/*
 * The stand-in's cuDNN: convolution of channels-last float32 tensors. Of the algorithms it proposes
 * only the last one may be used: the others fail, are not deterministic, round to TF32 or want more
 * memory than is reasonable. See standin.h.
 */
#include "tests/cuda-emu/standin.h"

#include <cudnn.h>
#include <string.h>

enum { ALIGNMENT = 16 };

struct cudnnContext {
    enum standin_kind kind;
    cudaStream_t stream;
};

struct cudnnTensorStruct {
    enum standin_kind kind;
    int n, c, h, w; /* n 0: not set */
};

struct cudnnFilterStruct {
    enum standin_kind kind;
    int k, c, h, w;
};

struct cudnnConvolutionStruct {
    enum standin_kind kind;
    int pad, stride; /* stride 0: not set */
    bool exact;      /* no TF32 */
};

STANDIN_HANDLE(cudnnStatus_t, cudnnCreate, cudnnDestroy, cudnnHandle_t, STANDIN_DNN)
STANDIN_HANDLE(cudnnStatus_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor,
               cudnnTensorDescriptor_t, STANDIN_TENSOR)
STANDIN_HANDLE(cudnnStatus_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor,
               cudnnFilterDescriptor_t, STANDIN_FILTER)
STANDIN_HANDLE(cudnnStatus_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor,
               cudnnConvolutionDescriptor_t, STANDIN_CONVOLUTION)

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    standin_check(handle, STANDIN_DNN, "cudnnSetStream");
    standin_check(stream, STANDIN_STREAM, "cudnnSetStream");
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_NOT_SUPPORTED ? "not supported" : "an error of the stand-in";
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w)
{
    standin_check(tensor, STANDIN_TENSOR, "cudnnSetTensor4dDescriptor");
    if (format != CUDNN_TENSOR_NHWC || type != CUDNN_DATA_FLOAT || n < 1 || c < 1 || h < 1 || w < 1)
        return CUDNN_STATUS_BAD_PARAM;
    tensor->n = n;
    tensor->c = c;
    tensor->h = h;
    tensor->w = w;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filter, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w)
{
    standin_check(filter, STANDIN_FILTER, "cudnnSetFilter4dDescriptor");
    if (format != CUDNN_TENSOR_NHWC || type != CUDNN_DATA_FLOAT || k < 1 || c < 1 || h < 1 || w < 1)
        return CUDNN_STATUS_BAD_PARAM;
    filter->k = k;
    filter->c = c;
    filter->h = h;
    filter->w = w;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t conv, int pad_h,
                                              int pad_w, int stride_h, int stride_w, int dilation_h,
                                              int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t type)
{
    standin_check(conv, STANDIN_CONVOLUTION, "cudnnSetConvolution2dDescriptor");
    if (pad_h != pad_w || pad_h < 0 || stride_h != stride_w || stride_h < 1 || dilation_h != 1 ||
        dilation_w != 1 || mode != CUDNN_CROSS_CORRELATION || type != CUDNN_DATA_FLOAT)
        return CUDNN_STATUS_BAD_PARAM;
    conv->pad = pad_h;
    conv->stride = stride_h;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t conv, cudnnMathType_t type)
{
    standin_check(conv, STANDIN_CONVOLUTION, "cudnnSetConvolutionMathType");
    conv->exact = type == CUDNN_FMA_MATH;
    return CUDNN_STATUS_SUCCESS;
}

/* A whole convolution, y = conv(x, w), checked. */
struct problem {
    const struct cudnnTensorStruct *x, *y;
    const struct cudnnFilterStruct *w;
    const struct cudnnConvolutionStruct *conv;
};

static struct problem pose(cudnnHandle_t handle, cudnnTensorDescriptor_t x,
                           cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t conv,
                           cudnnTensorDescriptor_t y)
{
    standin_check(handle, STANDIN_DNN, "a convolution");
    standin_check(x, STANDIN_TENSOR, "a convolution's input");
    standin_check(y, STANDIN_TENSOR, "a convolution's output");
    standin_check(w, STANDIN_FILTER, "a convolution's filter");
    standin_check(conv, STANDIN_CONVOLUTION, "a convolution");
    if (!x->n || !y->n || !w->k || !conv->stride || !conv->exact)
        standin_die("a convolution with a descriptor that was not set, or in TF32");
    int h = (x->h + 2 * conv->pad - w->h) / conv->stride + 1;
    int width = (x->w + 2 * conv->pad - w->w) / conv->stride + 1;
    if (x->c != w->c || y->n != x->n || y->c != w->k || y->h != h || y->w != width)
        standin_die("a convolution of %d x %d x %d x %d that does not give %d x %d x %d x %d", x->n,
                    x->c, x->h, x->w, y->n, y->c, y->h, y->w);
    return (struct problem){x, y, w, conv};
}

/* What the algorithm that may be used asks for. */
static size_t workspace_of(const struct problem *p)
{
    return 1000 + (size_t)p->w->k * sizeof(float);
}

enum { PROPOSED = 5, GOOD = PROPOSED - 1 };

/* Of the i-th proposal; its algorithm has the number i. */
static cudnnStatus_t proposed_status(int i)
{
    return i == 0 ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
}

static cudnnDeterminism_t proposed_determinism(int i)
{
    return i == 1 ? CUDNN_NON_DETERMINISTIC : CUDNN_DETERMINISTIC;
}

static cudnnMathType_t proposed_math(int i)
{
    return i == 2 ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH;
}

static size_t proposed_memory(const struct problem *p, int i)
{
    return i == 3 ? (size_t)1 << 40 : workspace_of(p);
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnFilterDescriptor_t w,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t y, const int wanted,
    int *count, cudnnConvolutionFwdAlgoPerf_t *found)
{
    struct problem p = pose(handle, x, w, conv, y);
    for (*count = 0; *count < wanted && *count < PROPOSED; ++*count)
        found[*count] = (cudnnConvolutionFwdAlgoPerf_t){
            .algo = (cudnnConvolutionFwdAlgo_t)*count,
            .status = proposed_status(*count),
            .memory = proposed_memory(&p, *count),
            .determinism = proposed_determinism(*count),
            .mathType = proposed_math(*count),
        };
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t w, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t dx, const int wanted,
    int *count, cudnnConvolutionBwdDataAlgoPerf_t *found)
{
    struct problem p = pose(handle, dx, w, conv, dy);
    for (*count = 0; *count < wanted && *count < PROPOSED; ++*count)
        found[*count] = (cudnnConvolutionBwdDataAlgoPerf_t){
            .algo = (cudnnConvolutionBwdDataAlgo_t)*count,
            .status = proposed_status(*count),
            .memory = proposed_memory(&p, *count),
            .determinism = proposed_determinism(*count),
            .mathType = proposed_math(*count),
        };
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnFilterDescriptor_t dw, const int wanted,
    int *count, cudnnConvolutionBwdFilterAlgoPerf_t *found)
{
    struct problem p = pose(handle, x, dw, conv, dy);
    for (*count = 0; *count < wanted && *count < PROPOSED; ++*count)
        found[*count] = (cudnnConvolutionBwdFilterAlgoPerf_t){
            .algo = (cudnnConvolutionBwdFilterAlgo_t)*count,
            .status = proposed_status(*count),
            .memory = proposed_memory(&p, *count),
            .determinism = proposed_determinism(*count),
            .mathType = proposed_math(*count),
        };
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnFilterDescriptor_t w,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t y,
    cudnnConvolutionFwdAlgo_t algorithm, size_t *bytes)
{
    struct problem p = pose(handle, x, w, conv, y);
    *bytes = proposed_memory(&p, (int)algorithm);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t w, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t dx,
    cudnnConvolutionBwdDataAlgo_t algorithm, size_t *bytes)
{
    struct problem p = pose(handle, dx, w, conv, dy);
    *bytes = proposed_memory(&p, (int)algorithm);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t dy,
    const cudnnConvolutionDescriptor_t conv, const cudnnFilterDescriptor_t dw,
    cudnnConvolutionBwdFilterAlgo_t algorithm, size_t *bytes)
{
    struct problem p = pose(handle, x, dw, conv, dy);
    *bytes = proposed_memory(&p, (int)algorithm);
    return CUDNN_STATUS_SUCCESS;
}

static size_t tensor_count(const struct cudnnTensorStruct *t)
{
    return (size_t)t->n * (size_t)t->c * (size_t)t->h * (size_t)t->w;
}

static size_t filter_count(const struct cudnnFilterStruct *f)
{
    return (size_t)f->k * (size_t)f->c * (size_t)f->h * (size_t)f->w;
}

/* Everything about a pass but its arithmetic; device memory is open afterwards. */
static void begin(cudnnHandle_t handle, const struct problem *p, const float *x, const float *w,
                  const float *y, int algorithm, void *workspace, size_t bytes, const float *alpha,
                  const float *beta)
{
    if (algorithm != GOOD)
        standin_die("a convolution by algorithm %d, which was not the one to take", algorithm);
    if (*alpha != 1 || *beta != 0)
        standin_die("a convolution with alpha %g and beta %g", (double)*alpha, (double)*beta);
    if (bytes < workspace_of(p))
        standin_die("a convolution with a workspace of %zu bytes", bytes);
    standin_device_range(workspace, bytes, ALIGNMENT, "workspace");
    standin_device_range(x, tensor_count(p->x) * sizeof *x, ALIGNMENT, "a convolution's input");
    standin_device_range(y, tensor_count(p->y) * sizeof *y, ALIGNMENT, "a convolution's output");
    standin_device_range(w, filter_count(p->w) * sizeof *w, ALIGNMENT, "a convolution's filter");
    standin_begin(handle->stream);
    memset(workspace, 0xff, bytes);
}

/* One position of the output and the tap of the filter that meets one of the input there: x has
 * `inputs` channels, y `outputs` of them, w a row of `inputs` for each, `each` floats apart. */
struct meeting {
    float *x, *w, *y;
    size_t each, outputs;
    int inputs;
};

/* False in the padding. */
static bool meet(const struct problem *p, size_t position, int tap, size_t *at_x)
{
    int h = p->y->h, w = p->y->w, ky = tap / p->w->w, kx = tap % p->w->w;
    int x = (int)(position % (size_t)w) * p->conv->stride - p->conv->pad + kx;
    int y = (int)(position / (size_t)w % (size_t)h) * p->conv->stride - p->conv->pad + ky;
    size_t image = position / (size_t)w / (size_t)h, c = (size_t)p->x->c;
    *at_x = ((image * (size_t)p->x->h + (size_t)y) * (size_t)p->x->w + (size_t)x) * c;
    return x >= 0 && y >= 0 && x < p->x->w && y < p->x->h;
}

static void visit_all(const struct problem *p, const void *x, const void *w, const void *y,
                      void (*visit)(const struct meeting *))
{
    struct meeting m = {.outputs = (size_t)p->y->c, .inputs = p->x->c};
    size_t at_x, positions = tensor_count(p->y) / m.outputs;
    m.each = filter_count(p->w) / m.outputs;
    for (size_t position = 0; position < positions; position++)
        for (int tap = 0; tap < p->w->h * p->w->w; tap++) {
            if (!meet(p, position, tap, &at_x))
                continue;
            m.x = (float *)x + at_x;
            m.w = (float *)w + tap * m.inputs;
            m.y = (float *)y + position * m.outputs;
            visit(&m);
        }
}

static void to_output(const struct meeting *m)
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

static void to_input(const struct meeting *m)
{
    for (size_t o = 0; o < m->outputs; o++)
        add(m->x, m->y[o], m->w + o * m->each, m->inputs);
}

static void to_filter(const struct meeting *m)
{
    for (size_t o = 0; o < m->outputs; o++)
        add(m->w + o * m->each, m->y[o], m->x, m->inputs);
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha,
                                      const cudnnTensorDescriptor_t x_desc, const void *x,
                                      const cudnnFilterDescriptor_t w_desc, const void *w,
                                      const cudnnConvolutionDescriptor_t conv,
                                      cudnnConvolutionFwdAlgo_t algorithm, void *workspace,
                                      size_t bytes, const void *beta,
                                      const cudnnTensorDescriptor_t y_desc, void *y)
{
    struct problem p = pose(handle, x_desc, w_desc, conv, y_desc);
    begin(handle, &p, x, w, y, (int)algorithm, workspace, bytes, alpha, beta);
    memset(y, 0, tensor_count(p.y) * sizeof(float));
    visit_all(&p, x, w, y, to_output);
    standin_end();
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
    struct problem p = pose(handle, dx_desc, w_desc, conv, dy_desc);
    begin(handle, &p, dx, w, dy, (int)algorithm, workspace, bytes, alpha, beta);
    memset(dx, 0, tensor_count(p.x) * sizeof(float));
    visit_all(&p, dx, w, dy, to_input);
    standin_end();
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
    struct problem p = pose(handle, x_desc, dw_desc, conv, dy_desc);
    begin(handle, &p, x, dw, dy, (int)algorithm, workspace, bytes, alpha, beta);
    memset(dw, 0, filter_count(p.w) * sizeof(float));
    visit_all(&p, x, dw, dy, to_filter);
    standin_end();
    return CUDNN_STATUS_SUCCESS;
}
