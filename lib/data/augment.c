#include "data/augment.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const double least_erased = 0.02, most_erased = 0.33, least_ratio = 0.3, most_ratio = 3.3;

static double between(struct ps_rng *rng, double low, double high)
{
    return low + (high - low) * ps_rng_uniform(rng);
}

struct ps_jitter ps_jitter_draw(const struct ps_augment *augment, struct ps_rng *rng)
{
    struct ps_jitter jitter;
    for (uint32_t k = 0; k < PS_COLORS; k++)
        jitter.order[k] = k;
    ps_rng_shuffle(rng, jitter.order, PS_COLORS);
    for (int k = 0; k < PS_COLORS; k++) {
        double x = augment->jitter[k];
        jitter.factor[k] =
            k == PS_COLOR_HUE ? between(rng, -x, x) : between(rng, x < 1 ? 1 - x : 0, 1 + x);
    }
    return jitter;
}

struct ps_box ps_erase_draw(const struct ps_augment *augment, int32_t size, struct ps_rng *rng)
{
    struct ps_box box = {0};
    if (ps_rng_uniform(rng) >= augment->erase)
        return box;
    for (int try = 0; try < 10; try++) {
        double area = (double)size * size * between(rng, least_erased, most_erased);
        double ratio = exp(between(rng, log(least_ratio), log(most_ratio)));
        double height = rint(sqrt(area * ratio)), width = rint(sqrt(area / ratio));
        if (height >= size || width >= size)
            continue;
        box.width = (int32_t)width;
        box.height = (int32_t)height;
        box.y = (int32_t)ps_rng_below(rng, (uint64_t)(size - box.height) + 1);
        box.x = (int32_t)ps_rng_below(rng, (uint64_t)(size - box.width) + 1);
        break;
    }
    return box;
}

static bool jitters(const struct ps_augment *augment)
{
    for (int k = 0; k < PS_COLORS; k++)
        if (augment->jitter[k] > 0)
            return true;
    return false;
}

static void erase(const struct ps_box *box, const uint8_t *fill, int32_t size, uint8_t *pixels)
{
    for (int32_t y = box->y; y < box->y + box->height; y++)
        for (int32_t x = box->x; x < box->x + box->width; x++)
            memcpy(pixels + ((size_t)y * (size_t)size + (size_t)x) * 3, fill, 3);
}

void ps_augment_apply(const struct ps_augment *augment, int32_t size, uint64_t seed, uint64_t epoch,
                      uint64_t image, uint8_t *pixels)
{
    if (jitters(augment)) {
        struct ps_rng rng = ps_rng_stream(seed, PS_RNG_JITTER, epoch, image);
        struct ps_jitter jitter = ps_jitter_draw(augment, &rng);
        for (int i = 0; i < PS_COLORS; i++) {
            uint32_t k = jitter.order[i];
            if (augment->jitter[k] > 0)
                ps_color_adjust((enum ps_color)k, jitter.factor[k], pixels,
                                (size_t)size * (size_t)size);
        }
    }
    if (augment->erase > 0) {
        struct ps_rng rng = ps_rng_stream(seed, PS_RNG_ERASE, epoch, image);
        struct ps_box box = ps_erase_draw(augment, size, &rng);
        erase(&box, augment->fill, size, pixels);
    }
}
