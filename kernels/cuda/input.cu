#include "kernels/cuda/device.cuh"

namespace
{

__global__ void input_kernel(const uint8_t *nhwc, float *out, size_t images, size_t plane,
                             bool channels_last, ps_input_norm norm)
{
    for (size_t i = ps::global_thread(); i < images * plane; i += ps::all_threads())
        for (size_t c = 0; c < 3; c++) {
            size_t to = channels_last ? i * 3 + c : (i / plane * 3 + c) * plane + i % plane;
            float byte = static_cast<float>(nhwc[i * 3 + static_cast<size_t>(norm.order[c])]);
            out[to] = (byte / norm.range - norm.mean[c]) / norm.std[c];
        }
}

} // namespace

int ps_cuda_input(const uint8_t *nhwc, float *out, int n, int height, int width, bool channels_last,
                  const struct ps_input_norm *norm, ps_cuda_stream stream)
{
    size_t plane = static_cast<size_t>(height) * static_cast<size_t>(width);
    size_t images = static_cast<size_t>(n);
    PS_LAUNCH(input_kernel, ps::loop_blocks(images * plane), ps::BLOCK, stream, nhwc, out, images,
              plane, channels_last, *norm);
    return cudaGetLastError();
}
