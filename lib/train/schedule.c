#include "train/schedule.h"

#include <math.h>
#include <stdbool.h>

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

static long decays_by(const struct ps_schedule *s, long epoch)
{
    long first = s->decay_first ? s->decay_first : s->decay_step;
    long until = epoch < s->decay_stop ? epoch : s->decay_stop;
    return s->decay_step > 0 && until >= first ? (until - first) / s->decay_step + 1 : 0;
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
    return s->kind == PS_SCHEDULE_STEP ? pow(s->decay_rate, (double)decays_by(s, epoch)) : 1;
}

void ps_plateau_step(struct ps_plateau *p, const struct ps_schedule *s, long epoch, double value)
{
    if (s->kind != PS_SCHEDULE_PLATEAU || epoch <= s->ramp)
        return;
    bool better = value > p->best * (1 + 1e-4);
    if (better)
        p->best = value;
    p->bad = better ? 0 : p->bad + 1;
    if (p->bad > s->patience) {
        p->decays++;
        p->bad = 0;
    }
}

double ps_plateau_factor(const struct ps_plateau *p, const struct ps_schedule *s)
{
    return pow(s->decay_rate, (double)p->decays);
}
