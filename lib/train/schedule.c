#include "train/schedule.h"

#include <math.h>

#define PI 3.14159265358979323846

static double cosine(double from, double to, double part)
{
    return to + (from - to) * (1 + cos(PI * part)) / 2;
}

static double one_cycle(double part)
{
    const double rise = 0.3, start = 1.0 / 25, end = start / 1e4;
    return part < rise ? cosine(start, 1, part / rise) : cosine(1, end, (part - rise) / (1 - rise));
}

double ps_schedule_factor(const struct ps_schedule *s, long epoch, size_t step, size_t steps)
{
    double done = (double)(epoch - 1) + (double)step / (double)steps; /* epochs */
    if (s->kind == PS_SCHEDULE_ONE_CYCLE) {
        double last = (double)s->epochs - 1 / (double)steps;
        return one_cycle(last > 0 ? fmin(done / last, 1) : 0);
    }
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
