/*
 * A stand-in for a GPU: a test double for exactly those calls of the CUDA runtime, cuBLAS and cuDNN
 * that kernels/cuda/ *.c makes, compiled against their real headers. It computes with plain loops,
 * and ends the program with a message where those libraries would misbehave or merely be lenient:
 * invalid handles, memory that was freed or is too small, host memory that is not pinned or changes
 * during a copy, workspaces that are too small, wrong alignment, and memory that one stream uses
 * without waiting for another's work on it.
 *
 * Device memory is accessible only inside a kernel or a call of these libraries: its pages are
 * protected, and the fault of the first access unprotects them until the kernel ends. It is
 * initialised to NaN; every allocation has its own pages, and addresses are never reused. A copy to
 * the host arrives when the stream or a later event is waited for.
 *
 * Environment: PS_CUDA_EMU_DEVICES (1), PS_CUDA_EMU_MIB (4096), the device's memory, and
 * PS_CUDA_EMU_CAPABILITY (90, for 9.0).
 */
#ifndef PS_TESTS_CUDA_EMU_STANDIN_H
#define PS_TESTS_CUDA_EMU_STANDIN_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

_Noreturn void standin_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

void standin_need_device(const char *what);

/* Work on a stream begins and ends; device memory is accessible in between. */
void standin_begin(cudaStream_t stream);
void standin_end(void);

/* A point in time: after the count-th piece of work of a stream. */
struct standin_moment {
    int stream;
    unsigned long count;
};
/* streams.c: issues work; the stream's latest work; has the host waited for it? */
void standin_issue(cudaStream_t stream);
struct standin_moment standin_now(cudaStream_t stream);
bool standin_has_ended(struct standin_moment moment);
/* The stream's current work uses memory last used at *last: dies unless it has waited for that. */
void standin_use(struct standin_moment *last, cudaStream_t stream);
/* The host waits for everything. */
void standin_wait_all(void);
/* runtime.c: delivers the copies that have ended. */
void standin_arrive(void);

/* Dies unless [p, p + bytes) lies inside one live allocation and p is aligned. */
void standin_device_range(const void *p, size_t bytes, size_t alignment, const char *what);

/* What kind of object a handle is: all of them begin with one of these. */
enum standin_kind {
    STANDIN_STREAM = 0x57524541,
    STANDIN_EVENT,
    STANDIN_BLAS,
    STANDIN_DNN,
    STANDIN_TENSOR,
    STANDIN_FILTER,
    STANDIN_CONVOLUTION,
    STANDIN_ACTIVATION
};
void *standin_new(enum standin_kind kind, size_t size);
void standin_check(const void *object, enum standin_kind kind, const char *what);
void standin_free(void *object, enum standin_kind kind, const char *what);

/* Defines a library's functions that create and destroy a handle; 0 is their success. */
#define STANDIN_HANDLE(status, create, destroy, handle_type, kind)                                 \
    status create(handle_type *handle)                                                             \
    {                                                                                              \
        *handle = standin_new(kind, sizeof **handle);                                              \
        return (status)0;                                                                          \
    }                                                                                              \
    status destroy(handle_type handle)                                                             \
    {                                                                                              \
        standin_free(handle, kind, #destroy);                                                      \
        return (status)0;                                                                          \
    }

#endif
