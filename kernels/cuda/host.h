/*
 * The host side of the CUDA backend: the objects behind backend.h and what its files share.
 * Everything but the copies of images runs on one stream in the order of the calls, so scratch
 * memory is shared by all operators. Activations are channels last, (n, h, w, c) without gaps.
 * Functions return 0, or -1 with the reason recorded.
 */
#ifndef PS_KERNELS_CUDA_HOST_H
#define PS_KERNELS_CUDA_HOST_H

#include "kernels/backend.h"
#include "kernels/cuda/operators.h"
#include "kernels/flat.h"
#include "kernels/node_check.h"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    CUDA_STAGES = 4,
    CUDA_STAGE_BYTES = 8 << 20,
    CUDA_INPUTS = 2,
    CUDA_LATE = 16,
    CUDA_ALIGNMENT = 256,
};

struct ps_choices;

/* Pinned host memory on its way to or from the device; done: the last copy has ended. */
struct cuda_stage {
    void *memory;
    cudaEvent_t done;
};

/* Device memory that grows when more is needed; what it held is lost then. */
struct cuda_buffer {
    void *memory;
    size_t bytes;
};

/* The bytes of a batch on their way to the network: they have arrived; they have been read. */
struct cuda_input {
    struct cuda_buffer bytes;
    cudaEvent_t arrived, used;
};

/* Host memory that a call needs on the device; host may be NULL, then so is device. */
struct cuda_argument {
    const void *host;
    size_t bytes;
    void *device;
};

/* A type of elements for those who compute with it. */
struct cuda_element {
    size_t bytes;
    cudnnDataType_t dnn;
    cudaDataType blas;
};
extern const struct cuda_element cuda_elements[]; /* by enum ps_cuda_type */

struct cuda {
    ps_backend base;
    int device;
    enum ps_precision precision;
    enum ps_cuda_type type;      /* of activations */
    struct ps_choices *choices;  /* of algorithms that were measured; NULL: by a rule */
    cudaStream_t stream, copies; /* copies: of images */
    cublasHandle_t blas;
    cudnnHandle_t dnn;
    struct cuda_stage stages[CUDA_STAGES];
    int next_stage;
    struct cuda_input inputs[CUDA_INPUTS];
    int input;              /* the one filled last */
    size_t staged;          /* bytes in it that no act_put_u8 has taken; 0: none */
    char *pinned_arguments; /* beside arguments */
    size_t arguments_used;
    double *late_value; /* pinned; and where each goes */
    double *late_to[CUDA_LATE];
    int late_count;
    struct cuda_buffer work, arguments, workspace; /* of kernels; of calls; of cuDNN */
    bool no_memory;                                /* was why the last call failed */
    char error[256], text[160];
};

struct ps_act {
    struct ps_shape shape;
    size_t count; /* n c h w */
    enum ps_cuda_type type;
    void *data;
};

/* A node of a kind is a struct of kind->size bytes that begins with this one. */
struct ps_node {
    const struct cuda_kind *kind;
    struct ps_op_desc desc;
    enum ps_mode mode;
    int inputs;
    const ps_act *in[PS_NODE_INPUTS], *din[PS_NODE_INPUTS], *out,
        *dout;                          /* din: NULL if not wanted */
    size_t params_needed, state_needed; /* least lengths of vectors */
    char text[160];
};

struct cuda_kind {
    size_t size;
    bool wide; /* the output and its gradient are float32 whatever the precision */
    /* update, prepare and release may be NULL; release also follows a prepare that failed */
    int (*prepare)(struct cuda *cuda, ps_node *node);
    int (*update)(struct cuda *cuda, ps_node *node, const float *params, const float *state);
    int (*forward)(struct cuda *cuda, ps_node *node, const float *params, float *state);
    int (*backward)(struct cuda *cuda, ps_node *node, const float *params, const float *state,
                    float *grads, bool accumulate); /* grads NULL: not wanted */
    void (*release)(struct cuda *cuda, ps_node *node);
};

/* What the plugin exports. */
extern const struct ps_backend_ops ps_backend_ops_cuda __attribute__((visibility("default")));

extern const struct cuda_kind cuda_conv, cuda_bn, cuda_relu, cuda_add, cuda_concat, cuda_window,
    cuda_global, cuda_linear;

/* error.c */
int cuda_fail(struct cuda *cuda, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* 0 if `status` (cudaError_t, also as own kernels give it) is success. */
int cuda_check(struct cuda *cuda, int status, const char *what);
int cuda_check_blas(struct cuda *cuda, cublasStatus_t status, const char *what);
int cuda_check_dnn(struct cuda *cuda, cudnnStatus_t status, const char *what);

/* memory.c */
/* Device memory, not initialised; NULL with the reason recorded. cudaFree it. */
void *cuda_alloc(struct cuda *cuda, size_t bytes);
/* Makes the buffer at least that large. */
int cuda_need(struct cuda *cuda, struct cuda_buffer *buffer, size_t bytes);
int cuda_copy(struct cuda *cuda, void *to, const void *from, size_t bytes);

/* vec.c */
int cuda_range(struct cuda *cuda, const ps_vec *v, size_t offset, size_t n);
/* First element of a matrix that was checked to lie inside its vector; NULL with the reason. */
float *cuda_mat(struct cuda *cuda, struct ps_mat m);

/* transfer.c */
int cuda_transfer_open(struct cuda *cuda);
void cuda_transfer_close(struct cuda *cuda);
/* Between host and device memory; both return when the host memory may be used again. */
int cuda_upload(struct cuda *cuda, void *device, const void *host, size_t bytes);
int cuda_download(struct cuda *cuda, void *host, const void *device, size_t bytes);
/* Brings them to the device, where they stay until what the caller starts next has run; it must
 * have all other memory by then, since waiting ends them. */
int cuda_arguments(struct cuda *cuda, struct cuda_argument *list, int count);
/* *host = *device at the next cuda_wait. */
int cuda_later(struct cuda *cuda, double *host, const double *device);

/* The backend, its device made the current one of this thread. A device that cannot be made
 * current shows in the call that follows. */
static inline struct cuda *cuda_enter(ps_backend *be)
{
    struct cuda *cuda = (struct cuda *)be;
    cudaSetDevice(cuda->device);
    return cuda;
}

/* The element at a parameter's offset, NULL for PS_ABSENT or without a vector. */
static inline const float *cuda_at(const float *v, size_t offset)
{
    return v && offset != PS_ABSENT ? v + offset : NULL;
}

static inline float *cuda_grad_at(float *grads, size_t offset)
{
    return grads && offset != PS_ABSENT ? grads + offset : NULL;
}

static inline size_t cuda_bytes(const ps_act *act)
{
    return act->count * cuda_elements[act->type].bytes;
}

/* Rows of an activation as a matrix of c columns. */
static inline size_t cuda_rows(const ps_act *act)
{
    return act->count / (size_t)act->shape.c;
}

/* y = C (m, n) row-major = alpha op(A) op(B) + beta C; lda, ldb, ldc: columns as stored. */
int cuda_product(struct cuda *cuda, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
                 const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                 size_t ldc);
/* Where y is what finish left, dout becomes the gradient before ReLU, and a residual gets its own.
 */
int cuda_finish_node_grad(struct cuda *cuda, ps_node *node);

#define PS_OPERATION(result, name, arguments) result cuda_##name arguments;
#include "kernels/operations.h"

#endif
