/*
 * Depthwise convolution. For the common kernels and strides, and an even number of channels, a
 * thread computes two channels of a strip of X columns from top to bottom, and reads each input
 * once: it keeps the sums (in the filter's gradient: the outputs' gradients) of those rows that the
 * next input row belongs to. Other convolutions are computed element by element.
 */
#include "kernels/cuda/elements.cuh"

namespace
{

using conv = ps_cuda_depthwise;
using ps::lanes;

constexpr int V = 2, X = 4; /* channels and columns of a thread */
constexpr unsigned MOST_BLOCKS = 4096, MOST_PARTIALS = 1024;

/* A kernel of K with stride S: rows that are kept, inputs under X outputs, outputs over X inputs.
 */
template <int kernel, int stride> struct form {
    static constexpr int K = kernel, S = stride, KEPT = (K + S - 1) / S, TAPS = K * K;
    static constexpr int UNDER = (X - 1) * S + K, OVER = X / S + KEPT - 1;
};

/* 10 kernel + stride of a convolution that has a form; otherwise 0. */
int form_of(const conv &d)
{
    int kernel = d.window.kernel, stride = d.window.stride;
    bool common = (kernel == 3 || kernel == 5) && (stride == 1 || stride == 2);
    return common && d.in.c % V == 0 ? 10 * kernel + stride : 0;
}

#define FORM(kernel, stride, ...)                                                                  \
    case 10 * (kernel) + (stride): {                                                               \
        typedef form<kernel, stride> F;                                                            \
        __VA_ARGS__;                                                                               \
        break;                                                                                     \
    }
/* Runs the statements with F as the form of the convolution, if it has one. */
#define BY_FORM(d, ...)                                                                            \
    switch (form_of(d)) {                                                                          \
        FORM(3, 1, __VA_ARGS__)                                                                    \
        FORM(3, 2, __VA_ARGS__)                                                                    \
        FORM(5, 1, __VA_ARGS__)                                                                    \
        FORM(5, 2, __VA_ARGS__)                                                                    \
    default:                                                                                       \
        break;                                                                                     \
    }

__host__ __device__ inline int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

/* Strips of `rows` x X that cover the maps of a batch. */
struct strips {
    int maps, across, down, rows;

    __host__ __device__ size_t count() const
    {
        return static_cast<size_t>(maps) * static_cast<size_t>(down) * static_cast<size_t>(across);
    }
};

/* As few as occupy the device. */
strips strips_of(int maps, int height, int width, int channels)
{
    constexpr size_t enough = 1 << 17;
    constexpr int least = 8;
    strips s = {maps, ceil_div(width, X), 1, height};
    while (s.rows > least && s.count() * static_cast<size_t>(channels / V) < enough) {
        s.down *= 2;
        s.rows = ceil_div(height, s.down);
    }
    s.down = ceil_div(height, s.rows);
    return s;
}

/* The first row and column of a strip. */
struct place {
    int n, y, x;
};

__device__ place place_of(size_t strip, const strips &s)
{
    size_t across = static_cast<size_t>(s.across), down = static_cast<size_t>(s.down);
    return {static_cast<int>(strip / across / down),
            static_cast<int>(strip / across % down) * s.rows, static_cast<int>(strip % across) * X};
}

/* Blocks are channels times strips, and so is the grid. */
struct launch {
    dim3 grid, block;
};

launch launch_for(const strips &s, int channels, unsigned most_blocks)
{
    size_t groups = static_cast<size_t>(channels / V);
    unsigned columns = ps::blocks_for(groups, ps::WARP);
    dim3 block(ps::blocks_for(groups, columns));
    block.y = ps::BLOCK / block.x;
    size_t rows = (s.count() + block.y - 1) / block.y, most = most_blocks / columns + 1;
    return {dim3(columns, static_cast<unsigned>(rows < most ? rows : most)), block};
}

__device__ size_t first_channel()
{
    return static_cast<size_t>(blockIdx.x * blockDim.x + threadIdx.x) * V;
}

__device__ size_t first_strip()
{
    return static_cast<size_t>(blockIdx.y) * blockDim.y + threadIdx.y;
}

__device__ size_t strip_step()
{
    return static_cast<size_t>(gridDim.y) * blockDim.y;
}

__device__ bool inside(int at, int size)
{
    return at >= 0 && at < size;
}

/* The offset of an element, which may lie outside the map. */
__device__ ptrdiff_t offset_of(ps_shape s, int n, int y, int x, size_t c)
{
    ptrdiff_t row = static_cast<ptrdiff_t>(n) * s.h + y;
    return (row * s.w + x) * s.c + static_cast<ptrdiff_t>(c);
}

/* N neighbours of a row from column x on; zero outside the map. */
template <int N, typename T>
__device__ void load_row(lanes<V> (&to)[N], const T *map, ps_shape s, int n, int y, int x, size_t c)
{
    const T *from = map + offset_of(s, n, y, x, c);
#pragma unroll
    for (int i = 0; i < N; i++)
        to[i] = inside(y, s.h) && inside(x + i, s.w)
                    ? ps::load<V>(from + i * static_cast<ptrdiff_t>(s.c))
                    : lanes<V>{};
}

/* The taps of a thread's channels. */
template <int N>
__device__ void load_taps(lanes<V> (&taps)[N], const float *w, size_t channels, size_t c)
{
#pragma unroll
    for (int i = 0; i < N; i++)
        taps[i] = ps::load<V>(w + static_cast<size_t>(i) * channels + c);
}

/* Forgets the first `gone` rows, and appends as many of zeros. */
template <int gone, int N> __device__ void shift(lanes<V> (&rows)[N][X])
{
#pragma unroll
    for (int i = 0; i < N; i++)
#pragma unroll
        for (int t = 0; t < X; t++)
            rows[i][t] = i + gone < N ? rows[i + gone < N ? i + gone : 0][t] : lanes<V>{};
}

/* What follows the convolution. */
template <typename T> struct ending {
    const float *bias;
    const T *residual;
    ps_cuda_relu relu;
};

/* The same for N channels from c on. */
template <typename T, int N> struct finisher {
    lanes<N> bias;
    const T *residual;
    ps::rectifier<T> rectifier;

    __device__ finisher(const ending<T> &end, size_t c)
        : bias{}, residual(end.residual), rectifier(end.relu)
    {
        if (end.bias)
            bias = ps::load<N>(end.bias + c);
    }

    __device__ void store(T *y, ptrdiff_t at, lanes<N> sum) const
    {
        lanes<N> more = residual ? ps::load<N>(residual + at) : lanes<N>{};
#pragma unroll
        for (int i = 0; i < N; i++)
            sum.x[i] = rectifier.apply(sum.x[i] + bias.x[i] + more.x[i]);
        ps::store(y + at, sum);
    }
};

template <typename F, typename T>
__global__ void __launch_bounds__(ps::BLOCK, 2)
    forward_kernel(conv d, strips s, const T *__restrict__ x, const float *__restrict__ w,
                   ending<T> end, T *__restrict__ y)
{
    constexpr int K = F::K, S = F::S, KEPT = F::KEPT;
    size_t c = first_channel(), channels = static_cast<size_t>(d.in.c);
    if (c >= channels)
        return;
    lanes<V> taps[F::TAPS];
    load_taps(taps, w, channels, c);
    const finisher<T, V> finish(end, c);
    for (size_t strip = first_strip(); strip < s.count(); strip += strip_step()) {
        place p = place_of(strip, s);
        lanes<V> sum[KEPT][X] = {};
#pragma unroll 1
        for (int step = 0; step < s.rows + KEPT - 1; step++) {
            int oldest = step - (KEPT - 1); /* output row of the strip */
#pragma unroll
            for (int e = 0; e < S && step * S + e < s.rows * S - S + K; e++) {
                lanes<V> under[F::UNDER];
                load_row(under, x, d.in, p.n, (p.y + step) * S + e - d.window.pad,
                         p.x * S - d.window.pad, c);
#pragma unroll
                for (int i = 0; i < KEPT; i++) {
                    const int ky = e + S * (KEPT - 1 - i);
                    if (ky >= K || !inside(oldest + i, s.rows))
                        continue;
#pragma unroll
                    for (int t = 0; t < X * K; t++)
                        ps::multiply_add(sum[i][t / K], under[t / K * S + t % K],
                                         taps[ky * K + t % K]);
                }
            }
#pragma unroll
            for (int t = 0; t < X; t++)
                if (oldest >= 0 && p.y + oldest < d.out.h && p.x + t < d.out.w)
                    finish.store(y, offset_of(d.out, p.n, p.y + oldest, p.x + t, c), sum[0][t]);
            shift<1>(sum);
        }
    }
}

/* Strips begin at the padding, and have rows * S rows. */
template <typename F, typename T>
__global__ void __launch_bounds__(ps::BLOCK, 2)
    data_kernel(conv d, strips s, const T *__restrict__ dy, const float *__restrict__ w,
                T *__restrict__ dx)
{
    constexpr int K = F::K, S = F::S, KEPT = F::KEPT;
    size_t c = first_channel(), channels = static_cast<size_t>(d.in.c);
    if (c >= channels)
        return;
    lanes<V> taps[F::TAPS];
    load_taps(taps, w, channels, c);
    for (size_t strip = first_strip(); strip < s.count(); strip += strip_step()) {
        place p = place_of(strip, s);
        lanes<V> sum[K][X] = {};
#pragma unroll 1
        for (int step = 1 - KEPT; step < s.rows; step++) {
            lanes<V> over[F::OVER];
            load_row(over, dy, d.out, p.n, p.y + step, p.x / S - (KEPT - 1), c);
#pragma unroll
            for (int ky = 0; ky < K; ky++) {
                if (!inside(step * S + ky, s.rows * S))
                    continue;
#pragma unroll
                for (int t = 0; t < X * F::OVER; t++) {
                    const int kx = t / F::OVER - (t % F::OVER - (KEPT - 1)) * S;
                    if (kx >= 0 && kx < K)
                        ps::multiply_add(sum[ky][t / F::OVER], over[t % F::OVER],
                                         taps[ky * K + kx]);
                }
            }
#pragma unroll
            for (int t = 0; t < S * X; t++) {
                int row = (p.y + step) * S + t / X - d.window.pad, col = p.x + t % X - d.window.pad;
                if (step >= 0 && inside(row, d.in.h) && inside(col, d.in.w))
                    ps::store(dx + offset_of(d.in, p.n, row, col, c), sum[t / X][t % X]);
            }
            shift<S>(sum);
        }
    }
}

/* partial (splits, k, k, C) */
template <typename F, typename T>
__global__ void __launch_bounds__(ps::BLOCK, 2)
    filter_kernel(conv d, strips s, const T *__restrict__ x, const T *__restrict__ dy,
                  float *__restrict__ partial)
{
    constexpr int K = F::K, S = F::S, KEPT = F::KEPT;
    __shared__ lanes<V> shared[ps::BLOCK];
    size_t c = first_channel(), channels = static_cast<size_t>(d.in.c);
    lanes<V> sum[F::TAPS] = {};
    for (size_t strip = first_strip(); c < channels && strip < s.count(); strip += strip_step()) {
        place p = place_of(strip, s);
        lanes<V> slope[KEPT][X] = {};
#pragma unroll 1
        for (int step = 0; step < s.rows + KEPT - 1; step++) {
            if (step < s.rows)
                load_row(slope[KEPT - 1], dy, d.out, p.n, p.y + step, p.x, c);
#pragma unroll
            for (int e = 0; e < S && step * S + e < s.rows * S - S + K; e++) {
                lanes<V> under[F::UNDER];
                load_row(under, x, d.in, p.n, (p.y + step) * S + e - d.window.pad,
                         p.x * S - d.window.pad, c);
#pragma unroll
                for (int i = 0; i < KEPT; i++) {
                    const int ky = e + S * (KEPT - 1 - i);
                    if (ky >= K)
                        continue;
#pragma unroll
                    for (int t = 0; t < X * K; t++)
                        ps::multiply_add(sum[ky * K + t % K], under[t / K * S + t % K],
                                         slope[i][t / K]);
                }
            }
            shift<1>(slope);
        }
    }
#pragma unroll
    for (int tap = 0; tap < F::TAPS; tap++) {
        shared[threadIdx.y * blockDim.x + threadIdx.x] = sum[tap];
        __syncthreads();
        if (threadIdx.y == 0 && c < channels) {
            lanes<V> total = {};
#pragma unroll 1
            for (unsigned row = 0; row < blockDim.y; row++)
                for (int i = 0; i < V; i++)
                    total.x[i] += shared[row * blockDim.x + threadIdx.x].x[i];
            size_t at = blockIdx.y * static_cast<size_t>(F::TAPS) + static_cast<size_t>(tap);
            ps::store(partial + at * channels + c, total);
        }
        __syncthreads();
    }
}

/* dw (C, taps) from partial (splits, taps, C) */
__global__ void sum_kernel(const float *partial, size_t splits, size_t taps, size_t channels,
                           float *dw)
{
    size_t n = taps * channels;
    for (size_t i = ps::global_thread(); i < n; i += ps::all_threads()) {
        double total = 0;
        for (size_t split = 0; split < splits; split++)
            total += static_cast<double>(partial[split * n + i]);
        dw[i % channels * taps + i / channels] = static_cast<float>(total);
    }
}

template <typename T>
__global__ void any_forward_kernel(conv d, const T *x, const float *w, ending<T> end, T *y)
{
    ps_cuda_window v = d.window;
    for (size_t i = ps::global_thread(); i < ps::count_of(d.out); i += ps::all_threads()) {
        ps::position o = ps::position_of(i, d.out);
        float sum = 0;
        for (int tap = 0; tap < v.kernel * v.kernel; tap++) {
            int row = o.y * v.stride - v.pad + tap / v.kernel;
            int col = o.x * v.stride - v.pad + tap % v.kernel;
            if (inside(row, d.in.h) && inside(col, d.in.w))
                sum +=
                    ps::widen(x[ps::index_of({o.n, row, col, o.c}, d.in)]) * w[tap * d.in.c + o.c];
        }
        finisher<T, 1>(end, static_cast<size_t>(o.c)).store(y, static_cast<ptrdiff_t>(i), {sum});
    }
}

template <typename T> __global__ void any_data_kernel(conv d, const T *dy, const float *w, T *dx)
{
    ps_cuda_window v = d.window;
    for (size_t i = ps::global_thread(); i < ps::count_of(d.in); i += ps::all_threads()) {
        ps::position in = ps::position_of(i, d.in);
        float sum = 0;
        for (int tap = 0; tap < v.kernel * v.kernel; tap++) {
            int row = in.y + v.pad - tap / v.kernel, col = in.x + v.pad - tap % v.kernel;
            if (row % v.stride == 0 && col % v.stride == 0 && inside(row / v.stride, d.out.h) &&
                inside(col / v.stride, d.out.w))
                sum += ps::widen(
                           dy[ps::index_of({in.n, row / v.stride, col / v.stride, in.c}, d.out)]) *
                       w[tap * d.in.c + in.c];
        }
        ps::store(dx + i, sum);
    }
}

/* A block for each channel and tap. */
template <typename T> __global__ void any_filter_kernel(conv d, const T *x, const T *dy, float *dw)
{
    ps_cuda_window v = d.window;
    int tap = static_cast<int>(blockIdx.y);
    size_t channels = static_cast<size_t>(d.in.c), pixels = ps::count_of(d.out) / channels;
    float sum = 0;
    for (size_t i = threadIdx.x; i < pixels; i += ps::BLOCK) {
        ps::position o = ps::position_of(i * channels + blockIdx.x, d.out);
        int row = o.y * v.stride - v.pad + tap / v.kernel;
        int col = o.x * v.stride - v.pad + tap % v.kernel;
        if (inside(row, d.in.h) && inside(col, d.in.w))
            sum += ps::widen(x[ps::index_of({o.n, row, col, o.c}, d.in)]) *
                   ps::widen(dy[i * channels + blockIdx.x]);
    }
    sum = ps::block_reduce<ps::sum>(sum);
    if (threadIdx.x == 0)
        dw[static_cast<size_t>(blockIdx.x) * gridDim.y + blockIdx.y] = sum;
}

strips output_strips(const conv &d)
{
    return strips_of(d.out.n, d.out.h, d.out.w, d.out.c);
}

template <typename F> strips input_strips(const conv &d)
{
    return strips_of(d.in.n, ceil_div(d.in.h + d.window.pad, F::S), d.in.w + d.window.pad, d.in.c);
}

launch filter_launch(const conv &d)
{
    return launch_for(output_strips(d), d.in.c, MOST_PARTIALS);
}

size_t taps_of(const conv &d)
{
    return static_cast<size_t>(d.window.kernel) * static_cast<size_t>(d.window.kernel);
}

template <typename T>
int forward(const conv &d, const T *x, const float *w, const ending<T> &end, T *y,
            ps_cuda_stream stream)
{
    strips s = output_strips(d);
    launch l = launch_for(s, d.in.c, MOST_BLOCKS);
    BY_FORM(d, PS_LAUNCH((forward_kernel<F, T>), l.grid, l.block, stream, d, s, x, w, end, y);
            return cudaGetLastError());
    PS_LAUNCH(any_forward_kernel<T>, ps::loop_blocks(ps::count_of(d.out)), ps::BLOCK, stream, d, x,
              w, end, y);
    return cudaGetLastError();
}

template <typename T>
int data(const conv &d, const T *dy, const float *w, T *dx, ps_cuda_stream stream)
{
    BY_FORM(d, strips s = input_strips<F>(d); launch l = launch_for(s, d.in.c, MOST_BLOCKS);
            PS_LAUNCH((data_kernel<F, T>), l.grid, l.block, stream, d, s, dy, w, dx);
            return cudaGetLastError());
    PS_LAUNCH(any_data_kernel<T>, ps::loop_blocks(ps::count_of(d.in)), ps::BLOCK, stream, d, dy, w,
              dx);
    return cudaGetLastError();
}

template <typename T>
int filter(const conv &d, const T *x, const T *dy, float *scratch, float *dw, ps_cuda_stream stream)
{
    size_t taps = taps_of(d), channels = static_cast<size_t>(d.in.c);
    launch l = filter_launch(d);
    BY_FORM(d, PS_LAUNCH((filter_kernel<F, T>), l.grid, l.block, stream, d, output_strips(d), x, dy,
                         scratch);
            PS_LAUNCH(sum_kernel, ps::loop_blocks(taps * channels), ps::BLOCK, stream, scratch,
                      l.grid.y, taps, channels, dw);
            return cudaGetLastError());
    PS_LAUNCH(any_filter_kernel<T>,
              dim3(static_cast<unsigned>(channels), static_cast<unsigned>(taps)), ps::BLOCK, stream,
              d, x, dy, dw);
    return cudaGetLastError();
}

} // namespace

int ps_cuda_depthwise_forward(const struct ps_cuda_depthwise *d, enum ps_cuda_type type,
                              const void *x, const float *w, const float *bias,
                              const void *residual, struct ps_cuda_relu relu, void *y,
                              ps_cuda_stream stream)
{
    PS_BY_TYPE(type, return forward(*d, static_cast<const T *>(x), w,
                                    ending<T>{bias, static_cast<const T *>(residual), relu},
                                    static_cast<T *>(y), stream));
    return cudaErrorInvalidValue;
}

int ps_cuda_depthwise_data(const struct ps_cuda_depthwise *d, enum ps_cuda_type type,
                           const void *dy, const float *w, void *dx, ps_cuda_stream stream)
{
    PS_BY_TYPE(type, return data(*d, static_cast<const T *>(dy), w, static_cast<T *>(dx), stream));
    return cudaErrorInvalidValue;
}

size_t ps_cuda_depthwise_scratch(const struct ps_cuda_depthwise *d)
{
    return filter_launch(*d).grid.y * taps_of(*d) * static_cast<size_t>(d->in.c);
}

int ps_cuda_depthwise_filter(const struct ps_cuda_depthwise *d, enum ps_cuda_type type,
                             const void *x, const void *dy, float *scratch, float *dw,
                             ps_cuda_stream stream)
{
    PS_BY_TYPE(type, return filter(*d, static_cast<const T *>(x), static_cast<const T *>(dy),
                                   scratch, dw, stream));
    return cudaErrorInvalidValue;
}
