/* Softmax cross-entropy with a margin on the target: loss and gradient, one block for each row. */
#include "kernels/cuda/device.cuh"

namespace
{

/* Margins are computed in float64, as float32 cannot resolve the angle near cos = +-1. */
constexpr double PI = 3.14159265358979323846, INSIDE = 1 - 1e-7;

__device__ double clamp(double z, double limit)
{
    return z > limit ? limit : z < -limit ? -limit : z;
}

__device__ double sine(double z)
{
    return sqrt((1 - z) * (1 + z));
}

__device__ double sign_of(double k)
{
    return fmod(k, 2.0) == 0 ? 1.0 : -1.0;
}

__device__ double sphere(double z, double m, double *slope)
{
    double inner = clamp(z, INSIDE), angle = m * acos(inner);
    *slope = sign_of(floor(angle / PI)) * m * sin(angle) / sine(inner);
    angle = m * acos(clamp(z, 1));
    double k = floor(angle / PI);
    return sign_of(k) * cos(angle) - 2 * k;
}

__device__ double arc(double z, double m, double *slope)
{
    *slope = 1;
    if (z <= -cos(m))
        return z - m * sin(m);
    double inner = clamp(z, INSIDE), cosine = clamp(z, 1);
    *slope = cos(m) + inner * sin(m) / sine(inner);
    return cosine * cos(m) - sine(cosine) * sin(m);
}

/* One target of a row: its logit, margin included, and the logit's derivative by z. */
struct target {
    int label;
    float weight, logit, slope;
    float max, others; /* the largest logit; the other classes' sum of exp(logit - max) */
    float smoothing;   /* label smoothing: what it takes off the label */
    float each;        /* and what it puts on each class */
    double logits;     /* their sum, where there is smoothing */

    __device__ target(const float *z, int cols, int at, float share, const ps_softmax_desc &desc)
        : label(at), weight(share), max(0), others(0), smoothing(desc.smoothing),
          each(desc.smoothing / static_cast<float>(desc.virtual_class ? cols + 1 : cols)), logits(0)
    {
        double value = z[at], derivative = 1;
        if (desc.margin == PS_MARGIN_SPHERE)
            value = sphere(value, desc.m, &derivative);
        else if (desc.margin == PS_MARGIN_COSINE)
            value -= desc.m;
        else if (desc.margin == PS_MARGIN_ARC)
            value = arc(value, desc.m, &derivative);
        logit = static_cast<float>(desc.scale * value);
        slope = static_cast<float>(desc.scale * derivative);
    }

    /* Called by the whole block. */
    __device__ void reduce(const float *z, int cols, const ps_softmax_desc &desc)
    {
        max = desc.virtual_class ? fmaxf(logit, desc.scale) : logit;
        for (int c = static_cast<int>(threadIdx.x); c < cols; c += ps::BLOCK)
            if (c != label)
                max = fmaxf(max, desc.scale * z[c]);
        max = ps::block_reduce<ps::maximum>(max);
        for (int c = static_cast<int>(threadIdx.x); c < cols; c += ps::BLOCK)
            if (c != label)
                others += expf(desc.scale * z[c] - max);
        others = ps::block_reduce<ps::sum>(others);
        if (desc.virtual_class)
            others += expf(desc.scale - max);
        if (smoothing > 0)
            add_logits(z, cols, desc);
    }

    __device__ void add_logits(const float *z, int cols, const ps_softmax_desc &desc)
    {
        for (int c = static_cast<int>(threadIdx.x); c < cols; c += ps::BLOCK)
            logits += static_cast<double>(c == label ? logit : desc.scale * z[c]);
        logits = ps::block_reduce<ps::sum>(logits);
        if (desc.virtual_class)
            logits += static_cast<double>(desc.scale);
    }

    __device__ float total() const
    {
        return expf(logit - max) + others;
    }

    __device__ float gradient(float z, int c, float scale) const
    {
        if (c == label)
            return -weight * others / total() * slope - weight * (each - smoothing) * slope;
        return weight * expf(scale * z - max) / total() * scale - weight * each * scale;
    }

    __device__ double loss() const
    {
        double sum = exp(static_cast<double>(logit - max)) + static_cast<double>(others);
        double smooth = static_cast<double>(smoothing) * static_cast<double>(logit) -
                        static_cast<double>(each) * logits;
        return static_cast<double>(weight) * (static_cast<double>(max - logit) + log(sum) + smooth);
    }
};

__global__ void softmax_kernel(float *z, int rows, int cols, const int32_t *label,
                               const int32_t *label2, const float *weight, ps_softmax_desc desc,
                               double *row_loss)
{
    size_t row = blockIdx.x;
    float *logits = z + row * static_cast<size_t>(cols), each = 1 / static_cast<float>(rows);
    bool mixed = label2 != nullptr;
    float share = mixed ? weight[row] : 1;
    target a(logits, cols, label[row], each * share, desc);
    target b(logits, cols, mixed ? label2[row] : label[row], mixed ? each * (1 - share) : 0, desc);
    a.reduce(logits, cols, desc);
    if (mixed)
        b.reduce(logits, cols, desc);
    /* all threads had read the row by the last reduction */
    for (int c = static_cast<int>(threadIdx.x); c < cols; c += ps::BLOCK) {
        float slope = a.gradient(logits[c], c, desc.scale);
        if (mixed)
            slope += b.gradient(logits[c], c, desc.scale);
        logits[c] = slope;
    }
    if (threadIdx.x == 0)
        row_loss[row] = a.loss() + (mixed ? b.loss() : 0);
}

} // namespace

int ps_cuda_softmax_loss(float *z, int rows, int cols, const int32_t *label, const int32_t *label2,
                         const float *weight, const struct ps_softmax_desc *desc, double *row_loss,
                         double *loss, ps_cuda_stream stream)
{
    PS_LAUNCH(softmax_kernel, static_cast<unsigned>(rows), ps::BLOCK, stream, z, rows, cols, label,
              label2, weight, *desc, row_loss);
    return ps_cuda_sum(row_loss, static_cast<size_t>(rows), loss, stream);
}
