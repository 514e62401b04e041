/* Images: bytes to the network's input. */
#include "kernels/cuda/elements.cuh"

namespace
{

template <typename T>
__global__ void input_kernel(const uint8_t *bytes, T *out, size_t pixels, ps_input_norm norm)
{
    for (size_t i = ps::global_thread(); i < pixels * 3; i += ps::all_threads()) {
        size_t c = i % 3, at = i - c + static_cast<size_t>(norm.order[c]);
        float value = static_cast<float>(bytes[at]) / norm.range;
        ps::store(out + i, (value - norm.mean[c]) / norm.std[c]);
    }
}

} // namespace

int ps_cuda_input(const uint8_t *bytes, void *out, enum ps_cuda_type type, size_t pixels,
                  const struct ps_input_norm *norm, ps_cuda_stream stream)
{
    PS_BY_TYPE(type, PS_LAUNCH(input_kernel<T>, ps::loop_blocks(pixels * 3), ps::BLOCK, stream,
                               bytes, static_cast<T *>(out), pixels, *norm));
    return cudaGetLastError();
}
