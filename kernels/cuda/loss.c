/* Losses and optimisers. */
#include "kernels/cuda/host.h"

static int check_labels(struct cuda *cuda, const char *what, struct ps_mat z, const int32_t *label)
{
    for (size_t i = 0; label && i < z.rows; i++)
        if (label[i] < 0 || (size_t)label[i] >= z.cols)
            return cuda_fail(cuda, "%s: row %zu has label %d of %zu classes", what, i, label[i],
                             z.cols);
    return z.rows && z.cols ? 0 : cuda_fail(cuda, "%s: no rows or no classes", what);
}

int cuda_softmax_loss(ps_backend *be, struct ps_mat z, const int32_t *label, const int32_t *label2,
                      const float *weight, const struct ps_softmax_desc *desc, double *loss)
{
    struct cuda *cuda = cuda_enter(be);
    size_t rows = z.rows, bytes = rows * sizeof *label;
    struct cuda_argument on[] = {
        {label, bytes, NULL}, {label2, bytes, NULL}, {label2 ? weight : NULL, bytes, NULL}};
    float *logits = cuda_mat(cuda, z);
    if (!logits || check_labels(cuda, "softmax_loss", z, label) ||
        check_labels(cuda, "softmax_loss", z, label2) ||
        cuda_need(cuda, &cuda->work, (rows + 1) * sizeof *loss) || cuda_arguments(cuda, on, 3))
        return -1;
    double *row_loss = cuda->work.memory, *total = row_loss + rows;
    if (cuda_check(cuda,
                   ps_cuda_softmax_loss(logits, (int)rows, (int)z.cols, on[0].device, on[1].device,
                                        on[2].device, desc, row_loss, total, cuda->stream),
                   "softmax_loss"))
        return -1;
    return cuda_later(cuda, loss, total);
}

static int check_centers(struct cuda *cuda, struct ps_mat z, int centers, struct ps_mat s)
{
    if (centers < 1 || z.rows != s.rows || z.cols != s.cols * (size_t)centers || !s.rows || !s.cols)
        return cuda_fail(cuda, "softtriple: %zu x %zu for %d centres of %zu x %zu", z.rows, z.cols,
                         centers, s.rows, s.cols);
    return 0;
}

int cuda_softtriple(ps_backend *be, struct ps_mat z, int centers, double gamma, struct ps_mat s)
{
    struct cuda *cuda = cuda_enter(be);
    const float *in = cuda_mat(cuda, z);
    float *out = cuda_mat(cuda, s);
    if (!in || !out || check_centers(cuda, z, centers, s))
        return -1;
    return cuda_check(
        cuda, ps_cuda_softtriple(in, out, (int)s.rows, (int)s.cols, centers, gamma, cuda->stream),
        "softtriple");
}

int cuda_softtriple_grad(ps_backend *be, struct ps_mat z, int centers, double gamma,
                         struct ps_mat s, struct ps_mat ds)
{
    struct cuda *cuda = cuda_enter(be);
    float *in = cuda_mat(cuda, z);
    const float *soft = cuda_mat(cuda, s), *dsoft = cuda_mat(cuda, ds);
    if (!in || !soft || !dsoft || check_centers(cuda, z, centers, s) ||
        check_centers(cuda, z, centers, ds))
        return -1;
    return cuda_check(cuda,
                      ps_cuda_softtriple_grad(in, soft, dsoft, (int)s.rows, (int)s.cols, centers,
                                              gamma, cuda->stream),
                      "softtriple_grad");
}

int cuda_softtriple_regularizer(ps_backend *be, struct ps_mat w, int centers, double tau,
                                struct ps_mat dw, double *loss)
{
    struct cuda *cuda = cuda_enter(be);
    const float *x = cuda_mat(cuda, w);
    float *dx = cuda_mat(cuda, dw);
    if (!x || !dx)
        return -1;
    if (centers < 1 || w.rows % (size_t)centers || w.rows != dw.rows || w.cols != dw.cols)
        return cuda_fail(cuda, "softtriple: %zu rows for %d centres", w.rows, centers);
    if (centers > PS_CUDA_CENTERS)
        return cuda_fail(cuda, "softtriple: %d centres, at most %d", centers, PS_CUDA_CENTERS);
    size_t classes = w.rows / (size_t)centers;
    *loss = 0;
    if (centers == 1 || classes == 0)
        return 0;
    if (cuda_need(cuda, &cuda->work, (classes + 1) * sizeof *loss))
        return -1;
    double *class_loss = cuda->work.memory, *total = class_loss + classes;
    if (cuda_check(cuda,
                   ps_cuda_softtriple_regularizer(x, dx, (int)classes, centers, (int)w.cols, tau,
                                                  class_loss, total, cuda->stream),
                   "softtriple_regularizer"))
        return -1;
    return cuda_later(cuda, loss, total);
}

int cuda_proxy_anchor(ps_backend *be, struct ps_mat z, const int32_t *label, double alpha,
                      double delta, double *loss)
{
    struct cuda *cuda = cuda_enter(be);
    struct cuda_argument on = {label, z.rows * sizeof *label, NULL};
    float *logits = cuda_mat(cuda, z);
    if (!logits || check_labels(cuda, "proxy_anchor", z, label) ||
        cuda_need(cuda, &cuda->work, (z.cols + 1) * sizeof *loss + sizeof(int32_t)) ||
        cuda_arguments(cuda, &on, 1))
        return -1;
    double *proxy_loss = cuda->work.memory, *total = proxy_loss + z.cols;
    int32_t *positives = (int32_t *)(total + 1);
    if (cuda_check(cuda,
                   ps_cuda_proxy_anchor(logits, (int)z.rows, (int)z.cols, on.device, alpha, delta,
                                        proxy_loss, positives, total, cuda->stream),
                   "proxy_anchor"))
        return -1;
    return cuda_later(cuda, loss, total);
}

int cuda_update(ps_backend *be, const struct ps_update_desc *desc, ps_vec *params,
                const ps_vec *grads, ps_vec *m, ps_vec *v, size_t offset, size_t n)
{
    struct cuda *cuda = cuda_enter(be);
    bool uses_m = desc->kind == PS_ADAM || desc->kind == PS_ADAMW || desc->momentum > 0;
    bool uses_v = desc->kind != PS_SGD;
    if (cuda_range(cuda, params, offset, n) || cuda_range(cuda, grads, offset, n) ||
        (uses_m && cuda_range(cuda, m, offset, n)) || (uses_v && cuda_range(cuda, v, offset, n)))
        return -1;
    return cuda_check(cuda,
                      ps_cuda_update(desc, params->data + offset, grads->data + offset,
                                     uses_m ? m->data + offset : NULL,
                                     uses_v ? v->data + offset : NULL, n, cuda->stream),
                      "update");
}
