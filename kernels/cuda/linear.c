/*
 * The linear layer by cuBLAS. Its output, the embedding, and the gradient of that are float32; in a
 * network of 16 bits the factors of the products have 16 bits.
 */
#include "kernels/cuda/host.h"

struct linear_node {
    ps_node node;
    void *weight; /* a narrow copy, or NULL */
    size_t weights;
};

/* C (m, n) row-major = op(A) op(B) + beta C, as cuda_product. */
struct product {
    bool ta, tb;
    size_t m, n, k;
    const void *a, *b;
    void *c;
    enum ps_cuda_type factors, result;
    float beta;
};

static int multiply(struct cuda *cuda, const struct product *p)
{
    const float one = 1;
    cublasComputeType_t how =
        cuda->precision == PS_PRECISION_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    cudaDataType factors = cuda_elements[p->factors].blas, result = cuda_elements[p->result].blas;
    return cuda_check_blas(cuda,
                           cublasGemmEx(cuda->blas, p->tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                                        p->ta ? CUBLAS_OP_T : CUBLAS_OP_N, (int)p->n, (int)p->m,
                                        (int)p->k, &one, p->b, factors, (int)(p->tb ? p->k : p->n),
                                        p->a, factors, (int)(p->ta ? p->m : p->k), &p->beta, p->c,
                                        result, (int)p->n, how, CUBLAS_GEMM_DEFAULT),
                           "matrix product");
}

/* The shared scratch holds partial column sums, then the output's gradient in 16 bits. */
static size_t partial_bytes(const ps_node *node)
{
    return (size_t)PS_CUDA_SPLITS * 2 * (size_t)node->out->shape.c * sizeof(double);
}

static int linear_prepare(struct cuda *cuda, ps_node *node)
{
    struct linear_node *linear = (struct linear_node *)node;
    enum ps_cuda_type type = node->in[0]->type;
    linear->weights = (size_t)node->in[0]->shape.c * (size_t)node->out->shape.c;
    if (cuda_need(cuda, &cuda->work,
                  partial_bytes(node) + node->out->count * cuda_elements[type].bytes))
        return -1;
    if (type == PS_CUDA_F32)
        return 0;
    linear->weight = cuda_alloc(cuda, linear->weights * cuda_elements[type].bytes);
    return linear->weight ? 0 : -1;
}

static int linear_update(struct cuda *cuda, ps_node *node, const float *params, const float *state)
{
    (void)state;
    struct linear_node *linear = (struct linear_node *)node;
    if (!linear->weight)
        return 0;
    return cuda_check(cuda,
                      ps_cuda_narrow(params + node->desc.weight, linear->weight, node->in[0]->type,
                                     linear->weights, cuda->stream),
                      "weights of the linear layer");
}

static const void *weight_of(const ps_node *node, const float *params)
{
    const struct linear_node *linear = (const struct linear_node *)node;
    return linear->weight ? linear->weight : params + node->desc.weight;
}

static int linear_forward(struct cuda *cuda, ps_node *node, const float *params, float *state)
{
    (void)state;
    const ps_act *x = node->in[0], *y = node->out;
    const float *bias = cuda_at(params, node->desc.bias);
    struct product p = {.tb = true,
                        .m = (size_t)y->shape.n,
                        .n = (size_t)y->shape.c,
                        .k = (size_t)x->shape.c,
                        .a = x->data,
                        .b = weight_of(node, params),
                        .c = y->data,
                        .factors = x->type,
                        .result = y->type};
    if (multiply(cuda, &p))
        return -1;
    if (!bias)
        return 0;
    return cuda_check(cuda,
                      ps_cuda_finish(y->data, bias, NULL, y->type, cuda_relu_of(&node->desc), p.m,
                                     (int)p.n, cuda->stream),
                      "bias");
}

/* The output's gradient in the factors' type. */
static const void *narrow_gradient(struct cuda *cuda, const ps_node *node)
{
    const ps_act *dy = node->dout;
    enum ps_cuda_type type = node->in[0]->type;
    if (type == dy->type)
        return dy->data;
    void *narrow = (char *)cuda->work.memory + partial_bytes(node);
    return cuda_check(cuda, ps_cuda_narrow(dy->data, narrow, type, dy->count, cuda->stream),
                      "gradient of the embedding")
               ? NULL
               : narrow;
}

static int linear_backward(struct cuda *cuda, ps_node *node, const float *params,
                           const float *state, float *grads, bool accumulate)
{
    (void)state;
    const ps_act *x = node->in[0], *dx = node->din[0], *dy = node->dout;
    size_t n = (size_t)dy->shape.n, d = (size_t)dy->shape.c, c = (size_t)x->shape.c;
    float *dbias = cuda_grad_at(grads, node->desc.bias);
    const void *factor = narrow_gradient(cuda, node);
    if (!factor)
        return -1;
    if (dx && multiply(cuda, &(struct product){.m = n,
                                               .n = c,
                                               .k = d,
                                               .a = factor,
                                               .b = weight_of(node, params),
                                               .c = dx->data,
                                               .factors = x->type,
                                               .result = dx->type}))
        return -1;
    if (grads && multiply(cuda, &(struct product){.ta = true,
                                                  .m = d,
                                                  .n = c,
                                                  .k = n,
                                                  .a = factor,
                                                  .b = x->data,
                                                  .c = grads + node->desc.weight,
                                                  .factors = x->type,
                                                  .result = PS_CUDA_F32,
                                                  .beta = accumulate}))
        return -1;
    if (!dbias)
        return 0;
    return cuda_check(cuda,
                      ps_cuda_column_sums(dy->data, dy->type, dbias, accumulate, n, (int)d,
                                          cuda->work.memory, cuda->stream),
                      "gradient of the bias");
}

static void linear_release(struct cuda *cuda, ps_node *node)
{
    (void)cuda;
    cudaFree(((struct linear_node *)node)->weight);
}

const struct cuda_kind cuda_linear = {.size = sizeof(struct linear_node),
                                      .wide = true,
                                      .prepare = linear_prepare,
                                      .update = linear_update,
                                      .forward = linear_forward,
                                      .backward = linear_backward,
                                      .release = linear_release};
