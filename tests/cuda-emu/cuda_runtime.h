/*
 * A test double for what kernels/cuda/ *.cu uses of CUDA: the host compiler builds the kernels, and
 * the threads of a block run as fibres, one at a time, so that the sanitizers see every access. It
 * is strict where hardware is lenient: a barrier or shuffle that some thread of the block or warp
 * never reaches ends the program with a message.
 *
 * Blocks run one after the other. In a block each warp runs as far as it can before the next one,
 * in ascending order in even blocks and descending in odd ones, so that a missing __syncthreads
 * shows. Device memory is host memory.
 */
#ifndef PS_TESTS_CUDA_EMU_CUDA_RUNTIME_H
#define PS_TESTS_CUDA_EMU_CUDA_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static /* blocks do not overlap in time */
#define __launch_bounds__(...)

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned dx = 1, unsigned dy = 1, unsigned dz = 1) : x(dx), y(dy), z(dz)
    {
    }
};

typedef struct CUstream_st *cudaStream_t;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1 };

static inline cudaError_t cudaGetLastError()
{
    return cudaSuccess;
}

struct ps_emu_fiber;
const uint3 &ps_emu_thread_index();
extern uint3 ps_emu_block_index;
extern dim3 ps_emu_block_size, ps_emu_grid_size;

#define threadIdx (ps_emu_thread_index())
#define blockIdx ps_emu_block_index
#define blockDim ps_emu_block_size
#define gridDim ps_emu_grid_size

/* From the stand-in for the runtime (standin.h), if it is linked. */
extern "C" void standin_begin(cudaStream_t stream) __attribute__((weak));
extern "C" void standin_end() __attribute__((weak));

/* Runs body(context) once for every thread of every block. */
void ps_emu_run(dim3 grid, dim3 block, void (*body)(void *context), void *context);

template <typename Body> void ps_emu_launch(dim3 grid, dim3 block, cudaStream_t stream, Body body)
{
    if (standin_begin)
        standin_begin(stream);
    ps_emu_run(
        grid, block, [](void *context) { (*static_cast<Body *>(context))(); }, &body);
    if (standin_end)
        standin_end();
}

#define PS_LAUNCH(kernel, grid, block, stream, ...)                                                \
    ps_emu_launch(grid, block, stream, [&] { kernel(__VA_ARGS__); })

void __syncthreads();

/* The `value` that lane `source` of this warp passed; all lanes of `mask` take part. */
uint64_t ps_emu_shuffle(unsigned mask, uint64_t value, unsigned source);
unsigned ps_emu_lane();

template <typename T> T __shfl_sync(unsigned mask, T value, int source)
{
    static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffled value has at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = ps_emu_shuffle(mask, bits, static_cast<unsigned>(source));
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <typename T> T __shfl_xor_sync(unsigned mask, T value, int lanes)
{
    return __shfl_sync(mask, value, static_cast<int>(ps_emu_lane() ^ static_cast<unsigned>(lanes)));
}

template <typename T> T atomicAdd(T *address, T value)
{
    T old = *address;
    *address = old + value;
    return old;
}

static inline unsigned __float_as_uint(float x)
{
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float __uint_as_float(unsigned bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
