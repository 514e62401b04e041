#include "kernels/ref/ref.h"

#include <omp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct ref {
    ps_backend base;
    int threads;
    char error[256], description[64];
};

int ps_ref_fail(ps_backend *be, const char *format, ...)
{
    struct ref *ref = (struct ref *)be;
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is one line up */
    vsnprintf(ref->error, sizeof ref->error, format, args);
    va_end(args);
    return -1;
}

const char *ps_ref_error(const ps_backend *be)
{
    return ((const struct ref *)be)->error;
}

int ps_ref_threads(const ps_backend *be)
{
    return ((const struct ref *)be)->threads;
}

static ps_backend *open_device(const struct ps_backend_config *config, char *message, size_t size)
{
    if (config->precision != PS_PRECISION_FP32) {
        snprintf(message, size, "computes in float64 only (use --precision fp32)");
        return NULL;
    }
    struct ref *ref = calloc(1, sizeof *ref);
    if (!ref) {
        snprintf(message, size, "out of memory");
        return NULL;
    }
    ref->base.ops = &ps_backend_ref;
    ref->threads = config->threads > 0 ? config->threads : omp_get_num_procs();
    snprintf(ref->description, sizeof ref->description, "plain loops in float64, %d threads",
             ref->threads);
    return &ref->base;
}

static void close_device(ps_backend *be)
{
    free(be);
}

static const char *describe(const ps_backend *be)
{
    return ((const struct ref *)be)->description;
}

const struct ps_backend_ops ps_backend_ref = {
    .interface = PS_BACKEND_INTERFACE,
    .name = "ref",
    .open = open_device,
    .close = close_device,
    .error = ps_ref_error,
    .describe = describe,
    .vec_new = ps_ref_vec_new,
    .vec_free = ps_ref_vec_free,
    .vec_put = ps_ref_vec_put,
    .vec_get = ps_ref_vec_get,
    .vec_zero = ps_ref_vec_zero,
    .vec_axpby = ps_ref_vec_axpby,
    .vec_sum_squares = ps_ref_vec_sum_squares,
    .mem_new = ps_ref_mem_new,
    .mem_free = ps_ref_mem_free,
    .act_bytes = ps_ref_act_bytes,
    .act_new = ps_ref_act_new,
    .act_free = ps_ref_act_free,
    .act_put = ps_ref_act_put,
    .act_get = ps_ref_act_get,
    .act_put_u8 = ps_ref_act_put_u8,
    .act_add = ps_ref_act_add,
    .act_to_mat = ps_ref_act_to_mat,
    .act_from_mat = ps_ref_act_from_mat,
    .node_new = ps_ref_node_new,
    .node_free = ps_ref_node_free,
    .node_forward = ps_ref_node_forward,
    .node_backward = ps_ref_node_backward,
    .node_describe = ps_ref_node_describe,
    .gemm = ps_ref_gemm,
    .normalize = ps_ref_normalize,
    .normalize_grad = ps_ref_normalize_grad,
    .interpolate = ps_ref_interpolate,
    .interpolate_grad = ps_ref_interpolate_grad,
    .softmax_loss = ps_ref_softmax_loss,
    .softtriple = ps_ref_softtriple,
    .softtriple_grad = ps_ref_softtriple_grad,
    .softtriple_regularizer = ps_ref_softtriple_regularizer,
    .proxy_anchor = ps_ref_proxy_anchor,
    .nearest = ps_ref_nearest,
    .update = ps_ref_update,
};
