/* Matrix products, row normalisation, and the interpolation of Proxy Synthesis. */
#include "kernels/cuda/host.h"

/* cuBLAS is column-major: computes C^T = op(B)^T op(A)^T. */
int cuda_product(struct cuda *cuda, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
                 const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                 size_t ldc)
{
    if (m == 0 || n == 0)
        return 0;
    return cuda_check_blas(cuda,
                           cublasSgemm(cuda->blas, tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                                       ta ? CUBLAS_OP_T : CUBLAS_OP_N, (int)n, (int)m, (int)k,
                                       &alpha, b, (int)ldb, a, (int)lda, &beta, c, (int)ldc),
                           "matrix product");
}

int cuda_gemm(ps_backend *be, bool ta, bool tb, double alpha, struct ps_mat a, struct ps_mat b,
              double beta, struct ps_mat c)
{
    struct cuda *cuda = cuda_enter(be);
    const float *x = cuda_mat(cuda, a), *y = cuda_mat(cuda, b);
    float *z = cuda_mat(cuda, c);
    if (!x || !y || !z)
        return -1;
    size_t inner = ta ? a.rows : a.cols;
    if ((ta ? a.cols : a.rows) != c.rows || (tb ? b.rows : b.cols) != c.cols ||
        (tb ? b.cols : b.rows) != inner || inner == 0)
        return cuda_fail(cuda, "gemm: %zu x %zu%s times %zu x %zu%s is not %zu x %zu", a.rows,
                         a.cols, ta ? "^T" : "", b.rows, b.cols, tb ? "^T" : "", c.rows, c.cols);
    return cuda_product(cuda, ta, tb, c.rows, c.cols, inner, (float)alpha, x, a.cols, y, b.cols,
                        (float)beta, z, c.cols);
}

static bool same_size(struct ps_mat a, struct ps_mat b)
{
    return a.rows == b.rows && a.cols == b.cols;
}

int cuda_normalize(ps_backend *be, struct ps_mat x, struct ps_mat y, struct ps_mat norm)
{
    struct cuda *cuda = cuda_enter(be);
    norm.cols = 1;
    const float *in = cuda_mat(cuda, x);
    float *out = cuda_mat(cuda, y), *divisor = cuda_mat(cuda, norm);
    if (!in || !out || !divisor)
        return -1;
    if (!same_size(x, y) || norm.rows < x.rows)
        return cuda_fail(cuda, "normalize: matrices of different sizes");
    if (x.rows == 0)
        return 0;
    return cuda_check(cuda,
                      ps_cuda_normalize(in, out, divisor, (int)x.rows, (int)x.cols, cuda->stream),
                      "normalize");
}

int cuda_normalize_grad(ps_backend *be, struct ps_mat y, struct ps_mat norm, struct ps_mat dy,
                        struct ps_mat dx, bool accumulate)
{
    struct cuda *cuda = cuda_enter(be);
    norm.cols = 1;
    const float *unit = cuda_mat(cuda, y), *divisor = cuda_mat(cuda, norm);
    const float *from = cuda_mat(cuda, dy);
    float *to = cuda_mat(cuda, dx);
    if (!unit || !divisor || !from || !to)
        return -1;
    if (!same_size(y, dy) || !same_size(y, dx) || norm.rows < y.rows)
        return cuda_fail(cuda, "normalize_grad: matrices of different sizes");
    if (y.rows == 0)
        return 0;
    return cuda_check(cuda,
                      ps_cuda_normalize_grad(unit, divisor, from, to, (int)y.rows, (int)y.cols,
                                             accumulate, cuda->stream),
                      "normalize_grad");
}

/* Checks that the pairs are of rows of x, and copies first, second and lambda to the device. */
static int put_pairs(struct cuda *cuda, struct ps_mat x, struct ps_mat pairs, const int32_t *first,
                     const int32_t *second, const float *lambda, struct cuda_argument on[3])
{
    size_t n = pairs.rows, bytes = n * sizeof *first;
    if (x.cols != pairs.cols)
        return cuda_fail(cuda, "interpolate: rows of %zu and of %zu", x.cols, pairs.cols);
    for (size_t i = 0; i < n; i++)
        if (first[i] < 0 || (size_t)first[i] >= x.rows || second[i] < 0 ||
            (size_t)second[i] >= x.rows)
            return cuda_fail(cuda, "interpolate: pair %zu is (%d, %d) of %zu rows", i, first[i],
                             second[i], x.rows);
    on[0] = (struct cuda_argument){first, bytes, NULL};
    on[1] = (struct cuda_argument){second, bytes, NULL};
    on[2] = (struct cuda_argument){lambda, bytes, NULL};
    return cuda_arguments(cuda, on, 3);
}

int cuda_interpolate(ps_backend *be, struct ps_mat x, const int32_t *first, const int32_t *second,
                     const float *lambda, struct ps_mat out)
{
    struct cuda *cuda = cuda_enter(be);
    struct cuda_argument on[3] = {{NULL, 0, NULL}};
    const float *from = cuda_mat(cuda, x);
    float *to = cuda_mat(cuda, out);
    if (!from || !to || put_pairs(cuda, x, out, first, second, lambda, on))
        return -1;
    return cuda_check(cuda,
                      ps_cuda_interpolate(from, on[0].device, on[1].device, on[2].device, to,
                                          (int)out.rows, (int)out.cols, cuda->stream),
                      "interpolate");
}

int cuda_interpolate_grad(ps_backend *be, struct ps_mat dout, const int32_t *first,
                          const int32_t *second, const float *lambda, struct ps_mat dx)
{
    struct cuda *cuda = cuda_enter(be);
    struct cuda_argument on[3] = {{NULL, 0, NULL}};
    const float *from = cuda_mat(cuda, dout);
    float *to = cuda_mat(cuda, dx);
    if (!from || !to || put_pairs(cuda, dx, dout, first, second, lambda, on))
        return -1;
    return cuda_check(cuda,
                      ps_cuda_interpolate_grad(from, on[0].device, on[1].device, on[2].device, to,
                                               (int)dout.rows, (int)dx.rows, (int)dx.cols,
                                               cuda->stream),
                      "interpolate_grad");
}
