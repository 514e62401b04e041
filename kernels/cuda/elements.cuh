/* Elements of activations: float32, or 16 bits that are widened to float32 for arithmetic. */
#ifndef PS_KERNELS_CUDA_ELEMENTS_CUH
#define PS_KERNELS_CUDA_ELEMENTS_CUH

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/operators.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace ps
{

__device__ inline float widen(float x)
{
    return x;
}

__device__ inline float widen(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

__device__ inline float widen(__half x)
{
    return __half2float(x);
}

__device__ inline void store(float *to, float x)
{
    *to = x;
}

__device__ inline void store(__nv_bfloat16 *to, float x)
{
    *to = __float2bfloat16_rn(x);
}

__device__ inline void store(__half *to, float x)
{
    *to = __float2half_rn(x);
}

/* The coordinates of an element of an activation. */
struct position {
    int n, y, x, c;
};

__device__ inline position position_of(size_t i, ps_shape s)
{
    size_t c = static_cast<size_t>(s.c), w = static_cast<size_t>(s.w), h = static_cast<size_t>(s.h);
    return {static_cast<int>(i / c / w / h), static_cast<int>(i / c / w % h),
            static_cast<int>(i / c % w), static_cast<int>(i % c)};
}

__device__ inline size_t index_of(position p, ps_shape s)
{
    size_t row = static_cast<size_t>(p.n) * static_cast<size_t>(s.h) + static_cast<size_t>(p.y);
    row = row * static_cast<size_t>(s.w) + static_cast<size_t>(p.x);
    return row * static_cast<size_t>(s.c) + static_cast<size_t>(p.c);
}

__host__ __device__ inline size_t count_of(ps_shape s)
{
    return static_cast<size_t>(s.n) * static_cast<size_t>(s.h) * static_cast<size_t>(s.w) *
           static_cast<size_t>(s.c);
}

/* V neighbouring elements, loaded and stored at once; the first is aligned to all of them. */
template <int V> struct lanes {
    float x[V];
};

template <typename T, int V> struct alignas(sizeof(T) * V) stored_lanes {
    T x[V];
};

template <int V, typename T> __device__ lanes<V> load(const T *from)
{
    stored_lanes<T, V> stored = *reinterpret_cast<const stored_lanes<T, V> *>(from);
    lanes<V> value;
    for (int i = 0; i < V; i++)
        value.x[i] = widen(stored.x[i]);
    return value;
}

template <typename T, int V> __device__ void store(T *to, lanes<V> value)
{
    stored_lanes<T, V> stored;
    for (int i = 0; i < V; i++)
        store(stored.x + i, value.x[i]);
    *reinterpret_cast<stored_lanes<T, V> *>(to) = stored;
}

template <int V> __device__ void multiply_add(lanes<V> &sum, lanes<V> a, lanes<V> b)
{
    for (int i = 0; i < V; i++)
        sum.x[i] += a.x[i] * b.x[i];
}

template <int V> __device__ lanes<V> plus(lanes<V> a, lanes<V> b)
{
    for (int i = 0; i < V; i++)
        a.x[i] += b.x[i];
    return a;
}

/* ReLU on elements of type T. */
template <typename T> struct rectifier {
    bool on, capped;
    float least, most; /* of y; infinite: no bound */

    __device__ explicit rectifier(ps_cuda_relu relu)
        : on(relu.on), capped(relu.on && relu.cap > 0), least(on ? 0 : -INFINITY)
    {
        T rounded; /* as y is */
        store(&rounded, relu.cap);
        most = capped ? widen(rounded) : INFINITY;
    }

    __device__ float apply(float x) const
    {
        return x < least ? least : x > most ? most : x;
    }

    /* Is the gradient passed on where the output is y? */
    __device__ bool passes(float y) const
    {
        return !on || (y > 0 && !(capped && y >= most));
    }
};

} // namespace ps

/* Runs the statements with T as the C++ type of `type`. */
#define PS_BY_TYPE(type, ...)                                                                      \
    switch (type) {                                                                                \
    case PS_CUDA_F32: {                                                                            \
        typedef float T;                                                                           \
        __VA_ARGS__;                                                                               \
        break;                                                                                     \
    }                                                                                              \
    case PS_CUDA_BF16: {                                                                           \
        typedef __nv_bfloat16 T;                                                                   \
        __VA_ARGS__;                                                                               \
        break;                                                                                     \
    }                                                                                              \
    case PS_CUDA_F16: {                                                                            \
        typedef __half T;                                                                          \
        __VA_ARGS__;                                                                               \
        break;                                                                                     \
    }                                                                                              \
    }

#endif
