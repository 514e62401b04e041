/* Pooling; one thread for each element written: gradients are gathered, in a fixed order. */
#include "kernels/cuda/elements.cuh"

namespace
{

using ps::count_of;
using ps::index_of;
using ps::position;
using ps::position_of;

__device__ int most(int a, int b)
{
    return a > b ? a : b;
}

__device__ int least(int a, int b)
{
    return a < b ? a : b;
}

/* A window along one axis: [begin, end) in the input, `length` in the padded input. */
struct span {
    int start, begin, end, length;

    __device__ span(int out, int size, ps_cuda_window w)
    {
        start = out * w.stride - w.pad;
        begin = most(start, 0);
        end = least(start + w.kernel, size);
        length = least(start + w.kernel, size + w.pad) - start;
    }
};

/* The windows along one axis that cover an input position, [first, last]. */
struct cover {
    int first, last;

    __device__ cover(int at, int outputs, ps_cuda_window w)
    {
        int reach = at + w.pad - w.kernel + 1;
        first = reach > 0 ? (reach + w.stride - 1) / w.stride : 0;
        last = least((at + w.pad) / w.stride, outputs - 1);
    }
};

template <typename T>
__global__ void maxpool_kernel(const T *x, T *y, uint8_t *argmax, ps_shape in, ps_shape out,
                               ps_cuda_window w)
{
    for (size_t i = ps::global_thread(); i < count_of(out); i += ps::all_threads()) {
        position p = position_of(i, out);
        span rows(p.y, in.h, w), cols(p.x, in.w, w);
        float best = -INFINITY;
        int at = -1;
        for (int row = rows.begin; row < rows.end; row++)
            for (int col = cols.begin; col < cols.end; col++) {
                float value = ps::widen(x[index_of({p.n, row, col, p.c}, in)]);
                if (at < 0 || value > best || value != value) {
                    best = value;
                    at = (row - rows.start) * w.kernel + col - cols.start;
                }
            }
        ps::store(y + i, best);
        if (argmax)
            argmax[i] = static_cast<uint8_t>(at);
    }
}

template <typename T>
__global__ void maxpool_grad_kernel(const T *dy, const uint8_t *argmax, T *dx, ps_shape in,
                                    ps_shape out, ps_cuda_window w)
{
    for (size_t i = ps::global_thread(); i < count_of(in); i += ps::all_threads()) {
        position p = position_of(i, in);
        cover rows(p.y, out.h, w), cols(p.x, out.w, w);
        float slope = 0;
        for (int oy = rows.first; oy <= rows.last; oy++)
            for (int ox = cols.first; ox <= cols.last; ox++) {
                int at = (p.y + w.pad - oy * w.stride) * w.kernel + p.x + w.pad - ox * w.stride;
                size_t o = index_of({p.n, oy, ox, p.c}, out);
                if (argmax[o] == at)
                    slope += ps::widen(dy[o]);
            }
        ps::store(dx + i, slope);
    }
}

template <typename T>
__global__ void avgpool_kernel(const T *x, T *y, ps_shape in, ps_shape out, ps_cuda_window w)
{
    for (size_t i = ps::global_thread(); i < count_of(out); i += ps::all_threads()) {
        position p = position_of(i, out);
        span rows(p.y, in.h, w), cols(p.x, in.w, w);
        float sum = 0;
        for (int row = rows.begin; row < rows.end; row++)
            for (int col = cols.begin; col < cols.end; col++)
                sum += ps::widen(x[index_of({p.n, row, col, p.c}, in)]);
        ps::store(y + i, sum / static_cast<float>(rows.length * cols.length));
    }
}

template <typename T>
__global__ void avgpool_grad_kernel(const T *dy, T *dx, ps_shape in, ps_shape out, ps_cuda_window w)
{
    for (size_t i = ps::global_thread(); i < count_of(in); i += ps::all_threads()) {
        position p = position_of(i, in);
        cover rows(p.y, out.h, w), cols(p.x, out.w, w);
        float slope = 0;
        for (int oy = rows.first; oy <= rows.last; oy++)
            for (int ox = cols.first; ox <= cols.last; ox++) {
                int area = span(oy, in.h, w).length * span(ox, in.w, w).length;
                slope +=
                    ps::widen(dy[index_of({p.n, oy, ox, p.c}, out)]) / static_cast<float>(area);
            }
        ps::store(dx + i, slope);
    }
}

template <typename T>
__global__ void global_kernel(const T *x, T *y, int32_t *argmax, ps_shape in, ps_pooling pooling)
{
    size_t channels = static_cast<size_t>(in.c), images = static_cast<size_t>(in.n);
    int plane = in.h * in.w;
    for (size_t i = ps::global_thread(); i < images * channels; i += ps::all_threads()) {
        const T *from = x + i / channels * static_cast<size_t>(plane) * channels + i % channels;
        float sum = 0, best = ps::widen(from[0]);
        int at = 0;
        for (int k = 0; k < plane; k++) {
            float value = ps::widen(from[static_cast<size_t>(k) * channels]);
            sum += value;
            if (value > best || value != value) {
                best = value;
                at = k;
            }
        }
        float average = sum / static_cast<float>(plane);
        ps::store(y + i, pooling == PS_POOL_AVG   ? average
                         : pooling == PS_POOL_MAX ? best
                                                  : average + best);
        if (argmax)
            argmax[i] = at;
    }
}

template <typename T>
__global__ void global_grad_kernel(const T *dy, const int32_t *argmax, T *dx, ps_shape in,
                                   ps_pooling pooling)
{
    int plane = in.h * in.w;
    for (size_t i = ps::global_thread(); i < count_of(in); i += ps::all_threads()) {
        position p = position_of(i, in);
        size_t o = static_cast<size_t>(p.n) * static_cast<size_t>(in.c) + static_cast<size_t>(p.c);
        float slope = pooling == PS_POOL_MAX ? 0 : ps::widen(dy[o]) / static_cast<float>(plane);
        if (pooling != PS_POOL_AVG && argmax[o] == p.y * in.w + p.x)
            slope += ps::widen(dy[o]);
        ps::store(dx + i, slope);
    }
}

} // namespace

int ps_cuda_maxpool(const void *x, void *y, enum ps_cuda_type type, uint8_t *argmax,
                    struct ps_shape in, struct ps_shape out, struct ps_cuda_window window,
                    ps_cuda_stream stream)
{
    if (window.kernel > 15)
        return cudaErrorInvalidValue;
    PS_BY_TYPE(type,
               PS_LAUNCH(maxpool_kernel<T>, ps::loop_blocks(count_of(out)), ps::BLOCK, stream,
                         static_cast<const T *>(x), static_cast<T *>(y), argmax, in, out, window));
    return cudaGetLastError();
}

int ps_cuda_maxpool_grad(const void *dy, const uint8_t *argmax, void *dx, enum ps_cuda_type type,
                         struct ps_shape in, struct ps_shape out, struct ps_cuda_window window,
                         ps_cuda_stream stream)
{
    PS_BY_TYPE(type, PS_LAUNCH(maxpool_grad_kernel<T>, ps::loop_blocks(count_of(in)), ps::BLOCK,
                               stream, static_cast<const T *>(dy), argmax, static_cast<T *>(dx), in,
                               out, window));
    return cudaGetLastError();
}

int ps_cuda_avgpool(const void *x, void *y, enum ps_cuda_type type, struct ps_shape in,
                    struct ps_shape out, struct ps_cuda_window window, ps_cuda_stream stream)
{
    PS_BY_TYPE(type, PS_LAUNCH(avgpool_kernel<T>, ps::loop_blocks(count_of(out)), ps::BLOCK, stream,
                               static_cast<const T *>(x), static_cast<T *>(y), in, out, window));
    return cudaGetLastError();
}

int ps_cuda_avgpool_grad(const void *dy, void *dx, enum ps_cuda_type type, struct ps_shape in,
                         struct ps_shape out, struct ps_cuda_window window, ps_cuda_stream stream)
{
    PS_BY_TYPE(type,
               PS_LAUNCH(avgpool_grad_kernel<T>, ps::loop_blocks(count_of(in)), ps::BLOCK, stream,
                         static_cast<const T *>(dy), static_cast<T *>(dx), in, out, window));
    return cudaGetLastError();
}

int ps_cuda_global(const void *x, void *y, enum ps_cuda_type type, int32_t *argmax,
                   struct ps_shape in, enum ps_pooling pooling, ps_cuda_stream stream)
{
    size_t n = static_cast<size_t>(in.n) * static_cast<size_t>(in.c);
    PS_BY_TYPE(type,
               PS_LAUNCH(global_kernel<T>, ps::loop_blocks(n), ps::BLOCK, stream,
                         static_cast<const T *>(x), static_cast<T *>(y), argmax, in, pooling));
    return cudaGetLastError();
}

int ps_cuda_global_grad(const void *dy, const int32_t *argmax, void *dx, enum ps_cuda_type type,
                        struct ps_shape in, enum ps_pooling pooling, ps_cuda_stream stream)
{
    PS_BY_TYPE(type,
               PS_LAUNCH(global_grad_kernel<T>, ps::loop_blocks(count_of(in)), ps::BLOCK, stream,
                         static_cast<const T *>(dy), argmax, static_cast<T *>(dx), in, pooling));
    return cudaGetLastError();
}
