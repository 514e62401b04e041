/* Device memory. */
#include "kernels/cuda/host.h"

#include <stdio.h>

enum { MIB = 1 << 20 };

void *cuda_alloc(struct cuda *cuda, size_t bytes)
{
    void *memory = NULL;
    cudaError_t status = cudaMalloc(&memory, bytes ? bytes : 1);
    if (status == cudaSuccess)
        return memory;
    size_t left = 0, total = 0;
    cudaGetLastError(); /* so that the next call does not report it */
    cuda_check(cuda, status, "device memory");
    if (cuda->no_memory && cudaMemGetInfo(&left, &total) == cudaSuccess)
        snprintf(cuda->error, sizeof cuda->error,
                 "out of device memory: %zu MiB wanted, %zu of %zu MiB are free",
                 (bytes + MIB - 1) / MIB, left / MIB, total / MIB);
    return NULL;
}

int cuda_need(struct cuda *cuda, struct cuda_buffer *buffer, size_t bytes)
{
    if (bytes <= buffer->bytes)
        return 0;
    if (cuda_check(cuda, cudaStreamSynchronize(cuda->stream), "a kernel"))
        return -1;
    cudaFree(buffer->memory);
    *buffer = (struct cuda_buffer){cuda_alloc(cuda, bytes), bytes};
    if (buffer->memory)
        return 0;
    buffer->bytes = 0;
    return -1;
}

int cuda_copy(struct cuda *cuda, void *to, const void *from, size_t bytes)
{
    return cuda_check(cuda,
                      cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda->stream),
                      "copy on the device");
}
