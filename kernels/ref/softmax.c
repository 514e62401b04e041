/*
 * Softmax cross-entropy with a margin on the target's logit: SphereFace (Liu et al. 2017), CosFace
 * (Wang et al. 2018), ArcFace (Deng et al. 2019); Losses in ps-method(7). Derivatives that are
 * infinite at cos = +-1 are taken at +-(1 - 1e-7).
 */
#include "kernels/ref/ref.h"

#include <math.h>
#include <stdlib.h>

static double clamp(double z, double limit)
{
    return z > limit ? limit : z < -limit ? -limit : z;
}

static double sine(double z)
{
    return sqrt((1 - z) * (1 + z));
}

/* psi(theta) = (-1)^k cos(m theta) - 2k, z = cos theta; *slope is its derivative by z. */
static double sphere(double z, double m, double *slope)
{
    double inner = clamp(z, 1 - 1e-7), angle = m * acos(inner);
    double sign = fmod(floor(angle / M_PI), 2) == 0 ? 1 : -1;
    *slope = sign * m * sin(angle) / sine(inner);
    angle = m * acos(clamp(z, 1));
    double k = floor(angle / M_PI);
    return (fmod(k, 2) == 0 ? 1 : -1) * cos(angle) - 2 * k;
}

/* cos(theta + m), or past pi its continuation; *slope is its derivative by z. */
static double arc(double z, double m, double *slope)
{
    if (z <= -cos(m)) {
        *slope = 1;
        return z - m * sin(m);
    }
    double inner = clamp(z, 1 - 1e-7), cosine = clamp(z, 1);
    *slope = cos(m) + inner * sin(m) / sine(inner);
    return cosine * cos(m) - sine(cosine) * sin(m);
}

/* The scaled logit with its margin; *slope is its derivative by z. */
static double target_logit(double z, const struct ps_softmax_desc *desc, double *slope)
{
    double m = desc->m, s = desc->scale, value = z;
    *slope = 1;
    switch (desc->margin) {
    case PS_MARGIN_NONE:
        break;
    case PS_MARGIN_SPHERE:
        value = sphere(z, m, slope);
        break;
    case PS_MARGIN_COSINE:
        value = z - m;
        break;
    case PS_MARGIN_ARC:
        value = arc(z, m, slope);
        break;
    }
    *slope *= s;
    return s * value;
}

/* `weight` times the cross-entropy of one row with one target; adds its gradient to dz. */
static double row_loss(const double *z, size_t classes, size_t target, double weight,
                       const struct ps_softmax_desc *desc, double *dz)
{
    double slope, s = desc->scale, logit = target_logit(z[target], desc, &slope);
    double max = logit;
    for (size_t c = 0; c < classes; c++)
        if (c != target)
            max = fmax(max, s * z[c]);
    if (desc->virtual_class)
        max = fmax(max, s);
    double others = desc->virtual_class ? exp(s - max) : 0;
    for (size_t c = 0; c < classes; c++)
        if (c != target)
            others += exp(s * z[c] - max);
    double sum = exp(logit - max) + others, logits = desc->virtual_class ? logit + s : logit;
    double smoothing = desc->smoothing;
    double each = smoothing / (double)(classes + (desc->virtual_class ? 1 : 0));
    for (size_t c = 0; c < classes; c++) {
        dz[c] += weight * (c == target ? (smoothing - each - others / sum) * slope
                                       : (exp(s * z[c] - max) / sum - each) * s);
        logits += c == target ? 0 : s * z[c];
    }
    return weight * (max - logit + log(sum) + smoothing * logit - each * logits);
}

int ps_ref_softmax_loss(ps_backend *be, struct ps_mat z, const int32_t *label,
                        const int32_t *label2, const float *weight,
                        const struct ps_softmax_desc *desc, double *loss)
{
    double *logits = ps_ref_mat(be, z);
    if (!logits)
        return -1;
    for (size_t i = 0; i < z.rows; i++)
        if (label[i] < 0 || (size_t)label[i] >= z.cols ||
            (label2 && (label2[i] < 0 || (size_t)label2[i] >= z.cols)))
            return ps_ref_fail(be, "softmax_loss: row %zu has label %d of %zu classes", i, label[i],
                               z.cols);
    double *dz = calloc(z.cols ? z.cols : 1, sizeof *dz);
    if (!dz)
        return ps_ref_fail(be, "softmax_loss: out of memory");
    double total = 0, rows = (double)z.rows;
    for (size_t i = 0; i < z.rows; i++) {
        double *row = logits + i * z.cols;
        double first = label2 ? (double)weight[i] : 1;
        for (size_t c = 0; c < z.cols; c++)
            dz[c] = 0;
        total += row_loss(row, z.cols, (size_t)label[i], first / rows, desc, dz);
        if (label2)
            total += row_loss(row, z.cols, (size_t)label2[i], (1 - first) / rows, desc, dz);
        for (size_t c = 0; c < z.cols; c++)
            row[c] = dz[c];
    }
    free(dz);
    *loss = total;
    return 0;
}
