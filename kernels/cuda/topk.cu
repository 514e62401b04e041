/*
 * The k largest of a row, one block for each row. An entry is a 64-bit key that sorts by descending
 * value, then ascending index. The lower half of `keys` holds the best so far, sorted; better
 * candidates collect in the upper half until it is nearly full, then all keys are sorted. Keys are
 * distinct, so the order of arrival does not matter.
 */
#include "kernels/cuda/device.cuh"

namespace
{

typedef unsigned long long key_type;
constexpr key_type EMPTY = ~0ULL;

__device__ key_type make_key(float value, int32_t index)
{
    unsigned bits = __float_as_uint(value + 0.0F);          /* -0 is 0 */
    bits = bits & 0x80000000U ? ~bits : bits | 0x80000000U; /* ascending with the value */
    return static_cast<key_type>(~bits) << 32 | static_cast<unsigned>(index);
}

__device__ float key_value(key_type key)
{
    unsigned bits = ~static_cast<unsigned>(key >> 32);
    return __uint_as_float(bits & 0x80000000U ? bits & 0x7fffffffU : ~bits);
}

/* Bitonic sort of `size` keys, a power of two, by the whole block. */
__device__ void sort_keys(key_type *keys, int size)
{
    for (int run = 2; run <= size; run *= 2)
        for (int gap = run / 2; gap > 0; gap /= 2) {
            __syncthreads();
            for (int i = static_cast<int>(threadIdx.x); i < size; i += ps::BLOCK) {
                int other = i ^ gap;
                bool ascending = (i & run) == 0;
                if (other > i && (keys[i] > keys[other]) == ascending) {
                    key_type swap = keys[i];
                    keys[i] = keys[other];
                    keys[other] = swap;
                }
            }
        }
    __syncthreads();
}

__global__ void topk_kernel(const float *similarity, int cols, int32_t base, int k, int half,
                            float *value, int32_t *index)
{
    __shared__ key_type keys[2 * PS_NEAREST_MOST];
    __shared__ int candidates;
    const float *row = similarity + static_cast<size_t>(blockIdx.x) * static_cast<size_t>(cols);
    float *best = value + static_cast<size_t>(blockIdx.x) * static_cast<size_t>(k);
    int32_t *best_index = index + static_cast<size_t>(blockIdx.x) * static_cast<size_t>(k);
    int thread = static_cast<int>(threadIdx.x);
    for (int i = thread; i < 2 * half; i += ps::BLOCK)
        keys[i] = i < k && best_index[i] >= 0 ? make_key(best[i], best_index[i]) : EMPTY;
    if (thread == 0)
        candidates = 0;
    __syncthreads();
    for (int start = 0; start < cols; start += ps::BLOCK) {
        int c = start + thread;
        key_type key = c < cols && row[c] == row[c] ? make_key(row[c], base + c) : EMPTY;
        if (key < keys[k - 1])
            keys[half + atomicAdd(&candidates, 1)] = key;
        __syncthreads();
        if (candidates > half - ps::BLOCK || start + ps::BLOCK >= cols) {
            sort_keys(keys, 2 * half);
            for (int i = half + thread; i < 2 * half; i += ps::BLOCK)
                keys[i] = EMPTY;
            if (thread == 0)
                candidates = 0;
        }
        __syncthreads();
    }
    for (int i = thread; i < k; i += ps::BLOCK) {
        bool empty = keys[i] == EMPTY;
        best[i] = empty ? 0 : key_value(keys[i]);
        best_index[i] = empty ? -1 : static_cast<int32_t>(keys[i] & 0x7fffffffU);
    }
}

} // namespace

int ps_cuda_topk(const float *similarity, int rows, int cols, int32_t base, int k, float *value,
                 int32_t *index, ps_cuda_stream stream)
{
    if (k < 1 || k > PS_NEAREST_MOST)
        return cudaErrorInvalidValue;
    int half = 2 * ps::BLOCK; /* so that sorts are rare even if k is small */
    while (half < k)
        half *= 2;
    PS_LAUNCH(topk_kernel, static_cast<unsigned>(rows), ps::BLOCK, stream, similarity, cols, base,
              k, half, value, index);
    return cudaGetLastError();
}
