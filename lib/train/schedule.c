#include "train/schedule.h"

#include <math.h>

#define PI 3.14159265358979323846

static double cosine(double from, double to, double part)
{
    return to + (from - to) * (1 + cos(PI * part)) / 2;
}

/* Step `at`, from 0, of `steps`. */
static double one_cycle(double at, double steps)
{
    const double start = 1.0 / 25, end = start / 1e4, peak = 0.3 * steps - 1;
    return at <= peak ? cosine(start, 1, at / peak)
                      : cosine(1, end, (at - peak) / (steps - 1 - peak));
}

double ps_schedule_factor(const struct ps_schedule *s, long epoch, size_t step, size_t steps)
{
    double done = (double)(epoch - 1) + (double)step / (double)steps; /* epochs */
    if (s->kind == PS_SCHEDULE_ONE_CYCLE)
        return one_cycle((double)(epoch - 1) * (double)steps + (double)step,
                         (double)s->epochs * (double)steps);
    if (done < (double)s->ramp)
        return (done + 1 / (double)steps) / (double)s->ramp;
    if (s->kind == PS_SCHEDULE_COSINE) {
        double left = (double)(s->epochs - s->ramp);
        return cosine(1, 0, left > 0 ? fmin((done - (double)s->ramp) / left, 1) : 0);
    }
    long until = epoch < s->decay_stop ? epoch : s->decay_stop;
    long decays = s->decay_step > 0 ? until / s->decay_step : 0;
    return pow(s->decay_rate, (double)decays);
}
