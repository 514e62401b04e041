#include "train/lossscale.h"
#include "base/err.h"

static const double largest = 0x1p24;

void ps_loss_scale_raise(struct ps_loss_scale *scale)
{
    if (++scale->good_steps < PS_LOSS_SCALE_STEPS)
        return;
    scale->good_steps = 0;
    if (scale->factor < largest)
        scale->factor *= 2;
}

int ps_loss_scale_lower(struct ps_loss_scale *scale)
{
    if (scale->factor <= 1)
        return ps_fail(PS_ENUMERIC, "the gradient is not finite, even without loss scaling");
    scale->factor /= 2;
    scale->good_steps = 0;
    return PS_OK;
}
