#include "kernels/cpu/choice.h"

static bool likes_winograd(const struct dn_conv_desc *d)
{
    return d->kernel == 3 && d->stride == 1 && d->ic >= 64 && d->oc >= 64 && d->oh >= 14 &&
           d->ow >= 14 && d->ic % DN_BLOCK == 0 && d->oc % DN_BLOCK == 0;
}

struct dn_conv *cpu_choose(struct cpu *cpu, struct dn_conv_desc *desc)
{
    struct dn_conv_desc bare = *desc;
    if (desc->add)
        bare.add = bare.relu = false;
    struct dn_conv *conv = NULL;
    if (likes_winograd(desc)) {
        conv = dn_conv_new(cpu->dn, &bare, true, 0);
        if (conv)
            *desc = bare;
    }
    if (!conv)
        conv = dn_conv_new(cpu->dn, desc, false, 0);
    if (!conv && (conv = dn_conv_new(cpu->dn, &bare, false, 0)))
        *desc = bare;
    if (!conv)
        cpu_fail(cpu, "oneDNN has no convolution %dx%dx%d -> %dx%dx%d, kernel %d, stride %d",
                 desc->ic, desc->ih, desc->iw, desc->oc, desc->oh, desc->ow, desc->kernel,
                 desc->stride);
    return conv;
}
