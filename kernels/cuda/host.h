/*
 * The host side of the CUDA backend: the objects behind backend.h and what its files share.
 * Everything but the copies of images runs on one stream in the order of the calls, so all
 * operators share scratch memory. Activations are channels last, (N, H, W, C) without gaps.
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

/* A pinned staging buffer for copies between host and device; done: its last copy has ended. */
struct cuda_stage {
    void *memory;
    cudaEvent_t done;
};

/* Device memory that grows on demand; its contents are lost then. */
struct cuda_buffer {
    void *memory;
    size_t bytes;
};

/* The images of a batch on the device; events: they have arrived, the network has read them. */
struct cuda_input {
    struct cuda_buffer bytes;
    cudaEvent_t arrived, used;
};

/* A host array that a call needs on the device. If host is NULL, so is device. */
struct cuda_argument {
    const void *host;
    size_t bytes;
    void *device;
};

/* An element type, as the libraries name it. */
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
    struct ps_choices *choices;  /* measured algorithms; NULL: by cuDNN's heuristics */
    cudaStream_t stream, copies; /* copies: of images */
    cublasHandle_t blas;
    cudnnHandle_t dnn;
    struct cuda_stage stages[CUDA_STAGES];
    int next_stage;
    struct cuda_input inputs[CUDA_INPUTS];
    int input;              /* the last one filled */
    size_t staged;          /* its bytes that no act_put_u8 has taken yet; 0: none */
    char *pinned_arguments; /* the host copy of `arguments` */
    size_t arguments_used;
    double *late_value; /* pinned results of cuda_later, and where each goes */
    double *late_to[CUDA_LATE];
    int late_count;
    struct cuda_buffer work, arguments, workspace; /* of our kernels; of calls; of cuDNN */
    bool no_memory;                                /* the last failure ran out of memory */
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
    size_t params_needed, state_needed; /* minimum lengths of the two vectors */
    char text[160];
};

struct cuda_kind {
    size_t size;
    bool wide; /* the output and its gradient are float32 at every precision */
    /* prepare, update and release may be NULL; release also follows a failed prepare */
    int (*prepare)(struct cuda *cuda, ps_node *node);
    int (*update)(struct cuda *cuda, ps_node *node, const float *params, const float *state);
    int (*forward)(struct cuda *cuda, ps_node *node, const float *params, float *state);
    int (*backward)(struct cuda *cuda, ps_node *node, const float *params, const float *state,
                    float *grads, bool accumulate); /* grads NULL: not wanted */
    void (*release)(struct cuda *cuda, ps_node *node);
};

/* What the plugin exports. */
extern const struct ps_backend_ops ps_backend_ops_cuda __attribute__((visibility("default")));

/* One for each operator. */
#define CUDA_KIND(OP, name, inputs) extern const struct cuda_kind cuda_##name;
PS_OPERATORS(CUDA_KIND)

/* error.c */
int cuda_fail(struct cuda *cuda, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* 0 if `status`, a cudaError_t, is success; `what` names the call in the message. */
int cuda_check(struct cuda *cuda, int status, const char *what);
int cuda_check_blas(struct cuda *cuda, cublasStatus_t status, const char *what);
int cuda_check_dnn(struct cuda *cuda, cudnnStatus_t status, const char *what);

/* memory.c */
/* Uninitialised device memory; NULL with the reason recorded. cudaFree it. */
void *cuda_alloc(struct cuda *cuda, size_t bytes);
/* Makes the buffer hold at least `bytes`. */
int cuda_need(struct cuda *cuda, struct cuda_buffer *buffer, size_t bytes);
int cuda_copy(struct cuda *cuda, void *to, const void *from, size_t bytes);

/* vec.c */
/* Checks that v holds the elements [offset, offset + n). */
int cuda_range(struct cuda *cuda, const ps_vec *v, size_t offset, size_t n);
/* The first element of a matrix, after a check that it lies inside its vector; NULL if not. */
float *cuda_mat(struct cuda *cuda, struct ps_mat m);

/* transfer.c */
int cuda_transfer_open(struct cuda *cuda);
void cuda_transfer_close(struct cuda *cuda);
/* Copy between host and device; both return when the host memory may be reused. */
int cuda_upload(struct cuda *cuda, void *device, const void *host, size_t bytes);
int cuda_download(struct cuda *cuda, void *host, const void *device, size_t bytes);
/* Copies arguments to the device, for the kernels that the caller launches next. Allocate all other
 * memory before: a wait for the stream releases them. */
int cuda_arguments(struct cuda *cuda, struct cuda_argument *list, int count);
/* *host = *device by the next cuda_wait. */
int cuda_later(struct cuda *cuda, double *host, const double *device);

/* The backend, with its device current in this thread. If that fails, the next call reports it. */
static inline struct cuda *cuda_enter(ps_backend *be)
{
    struct cuda *cuda = (struct cuda *)be;
    cudaSetDevice(cuda->device);
    return cuda;
}

/* The tensor at an offset; NULL for PS_ABSENT or without a vector. */
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

/* Rows of an activation as a matrix (N H W, C). */
static inline size_t cuda_rows(const ps_act *act)
{
    return act->count / (size_t)act->shape.c;
}

static inline struct ps_cuda_relu cuda_relu_of(const struct ps_op_desc *d)
{
    return (struct ps_cuda_relu){d->relu || d->op == PS_OP_RELU, d->relu_cap};
}

/* C (m, n) = alpha op(A) op(B) + beta C, row-major; lda, ldb and ldc are row lengths. */
int cuda_product(struct cuda *cuda, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
                 const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                 size_t ldc);
/* Backward of ps_cuda_finish: masks dout by ReLU in place, and copies it to the residual's din. */
int cuda_finish_node_grad(struct cuda *cuda, ps_node *node);

#define PS_OPERATION(result, name, arguments) result cuda_##name arguments;
#include "kernels/operations.h"

#endif
