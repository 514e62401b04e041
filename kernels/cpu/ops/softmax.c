/*
 * Softmax cross-entropy with a margin on the target's logit: SphereFace (Liu et al. 2017), CosFace
 * (Wang et al. 2018), ArcFace (Deng et al. 2019); Losses in ps-method(7). Derivatives that are
 * infinite at cos = +-1 are taken at +-(1 - 1e-7).
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/ops/expf.h"

#include <math.h>

static double clamp(double z, double limit)
{
    return z > limit ? limit : z < -limit ? -limit : z;
}

static double sine(double z)
{
    return sqrt((1 - z) * (1 + z));
}

/* psi(theta), z = cos theta; *slope is its derivative by z. */
static double sphere(double z, double m, double *slope)
{
    double inside = clamp(z, 1 - 1e-7), angle = m * acos(inside);
    *slope = (fmod(floor(angle / M_PI), 2) == 0 ? 1 : -1) * m * sin(angle) / sine(inside);
    angle = m * acos(clamp(z, 1));
    double k = floor(angle / M_PI);
    return (fmod(k, 2) == 0 ? 1 : -1) * cos(angle) - 2 * k;
}

/* cos(theta + m), or past pi its continuation. */
static double arc(double z, double m, double *slope)
{
    *slope = 1;
    if (z <= -cos(m))
        return z - m * sin(m);
    double inside = clamp(z, 1 - 1e-7), cosine = clamp(z, 1);
    *slope = cos(m) + inside * sin(m) / sine(inside);
    return cosine * cos(m) - sine(cosine) * sin(m);
}

/* The scaled logit with its margin; *slope is its derivative by z. */
static double margin(double z, const struct ps_softmax_desc *desc, double *slope)
{
    double value = z;
    *slope = 1;
    if (desc->margin == PS_MARGIN_SPHERE)
        value = sphere(z, desc->m, slope);
    else if (desc->margin == PS_MARGIN_COSINE)
        value = z - desc->m;
    else if (desc->margin == PS_MARGIN_ARC)
        value = arc(z, desc->m, slope);
    *slope *= desc->scale;
    return desc->scale * value;
}

struct target {
    size_t class;
    double weight, raw, logit, slope; /* logits without and with the margin; d logit / d z */
    double others, sum;               /* sums of exponentials: of the other classes; of all */
};

/* z = exp(scale z - max), where max >= scale z. Returns their sum. */
static double exponentials(float *z, size_t classes, float scale, float max)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t c = 0; c < classes; c++) {
        float e = cpu_exp_negative(scale * z[c] - max);
        z[c] = e;
        sum += e;
    }
    return sum;
}

static float largest(const float *z, size_t classes, float scale)
{
    float best = -INFINITY;
#pragma omp simd reduction(max : best)
    for (size_t c = 0; c < classes; c++) {
        float v = scale * z[c];
        best = v > best ? v : best;
    }
    return best;
}

static double sum_of(const float *z, size_t classes)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t c = 0; c < classes; c++)
        sum += z[c];
    return sum;
}

/* Label smoothing: what it takes off the label, and puts on each class. */
struct smoothing {
    double off, each;
};

/* Of a target's own term by its z. */
static double own_gradient(const struct target *a, struct smoothing smoothing)
{
    return -a->weight * a->others / a->sum * a->slope -
           a->weight * (smoothing.each - smoothing.off) * a->slope;
}

/* The gradient at target a; b is the other target, or NULL. */
static double gradient(const struct target *a, const struct target *b, double scale, double top,
                       struct smoothing smoothing)
{
    double hit = own_gradient(a, smoothing);
    if (!b)
        return hit;
    if (a->class == b->class)
        return hit + own_gradient(b, smoothing);
    return hit + b->weight * scale * exp(a->raw - top) / b->sum -
           b->weight * scale * smoothing.each;
}

/* Overwrites a row of cosines with its gradient; weights include 1 / rows. Returns the loss. */
static double row_loss(float *z, size_t classes, struct target *target, int targets,
                       const struct ps_softmax_desc *desc)
{
    bool distinct = targets == 2 && target[0].class != target[1].class;
    struct smoothing smoothing = {
        desc->smoothing, desc->smoothing / (double)(classes + (desc->virtual_class ? 1 : 0))};
    /* the sum of the logits, without a margin */
    double logits = smoothing.off > 0 ? desc->scale * sum_of(z, classes) : 0;
    double max = desc->virtual_class ? desc->scale : -INFINITY;
    for (int t = 0; t < targets; t++) {
        struct target *a = &target[t];
        a->raw = (double)desc->scale * z[a->class];
        a->logit = margin(z[a->class], desc, &a->slope);
        max = fmax(max, distinct ? fmax(a->raw, a->logit) : a->logit);
    }
    for (int t = 0; t < targets; t++)
        z[target[t].class] = -INFINITY;
    float top = fmaxf(nextafterf((float)max, INFINITY), largest(z, classes, desc->scale));
    double base = exponentials(z, classes, desc->scale, top), loss = 0, slope = 0, shift = 0;
    if (desc->virtual_class) {
        base += exp((double)desc->scale - top);
        logits += desc->scale;
    }
    for (int t = 0; t < targets; t++) {
        struct target *a = &target[t];
        a->others = base + (distinct ? exp(target[1 - t].raw - top) : 0);
        a->sum = a->others + exp(a->logit - top);
        loss += a->weight * (top - a->logit + log(a->sum) + smoothing.off * a->logit -
                             smoothing.each * (logits - a->raw + a->logit));
        slope += a->weight * desc->scale / a->sum;
        shift += a->weight * desc->scale * smoothing.each;
    }
    float factor = (float)slope, less = (float)shift;
#pragma omp simd
    for (size_t c = 0; c < classes; c++)
        z[c] = z[c] * factor - less;
    for (int t = 0; t < targets; t++)
        z[target[t].class] = (float)gradient(&target[t], targets == 2 ? &target[1 - t] : NULL,
                                             desc->scale, top, smoothing);
    return loss;
}

int cpu_softmax_loss(ps_backend *be, struct ps_mat z, const int32_t *label, const int32_t *label2,
                     const float *weight, const struct ps_softmax_desc *desc, double *loss)
{
    struct cpu *cpu = cpu_of(be);
    for (size_t i = 0; i < z.rows; i++)
        if (label[i] < 0 || (size_t)label[i] >= z.cols ||
            (label2 && (label2[i] < 0 || (size_t)label2[i] >= z.cols)))
            return cpu_fail(cpu, "softmax_loss: row %zu has label %d of %zu classes", i, label[i],
                            z.cols);
    if (cpu_need_work(cpu, 2 * z.rows))
        return -1;
    double *row = (double *)cpu->work, share = 1 / (double)z.rows;
    float *first = cpu_mat(z);
#pragma omp parallel for num_threads(cpu->threads)
    for (size_t i = 0; i < z.rows; i++) {
        double w = label2 ? weight[i] : 1;
        struct target target[2] = {{.class = (size_t)label[i], .weight = w * share}};
        if (label2)
            target[1] = (struct target){.class = (size_t)label2[i], .weight = (1 - w) * share};
        row[i] = row_loss(first + i * z.cols, z.cols, target, label2 ? 2 : 1, desc);
    }
    *loss = 0;
    for (size_t i = 0; i < z.rows; i++)
        *loss += row[i];
    return 0;
}
