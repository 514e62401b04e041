/* Opening, errors, and the table of functions. */
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

ps_backend *ps_ref_open(const struct ps_backend_config *config, char *message, size_t size)
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
    snprintf(ref->description, sizeof ref->description, "plain loops in float64, %d thread%s",
             ref->threads, ref->threads == 1 ? "" : "s");
    return &ref->base;
}

void ps_ref_close(ps_backend *be)
{
    free(be);
}

const char *ps_ref_describe(const ps_backend *be)
{
    return ((const struct ref *)be)->description;
}

const struct ps_backend_ops ps_backend_ref = {
    .interface = PS_BACKEND_INTERFACE,
    .name = "ref",
#define PS_OPERATION(result, name, arguments) .name = ps_ref_##name,
#define PS_OPTIONAL(result, name, arguments)
#include "kernels/operations.h"
    .nearest = ps_ref_nearest,
};
