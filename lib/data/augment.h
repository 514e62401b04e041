/*
 * What else is done to a training image, after crop and flip and as torchvision's ColorJitter and
 * RandomErasing do it (Input in ps-method(7)): its colours are changed, and a rectangle is erased.
 */
#ifndef PS_DATA_AUGMENT_H
#define PS_DATA_AUGMENT_H

#include "base/rng.h"
#include "data/color.h"
#include "data/transform.h"

struct ps_augment {
    /* Of brightness, contrast and saturation x >= 0, for factors in max(0, 1-x)..1+x; of the hue h
     * in 0..0.5, for -h..h. 0: not changed. */
    double jitter[PS_COLORS];
    double erase;    /* probability */
    uint8_t fill[3]; /* what is erased becomes this colour, RGB */
};

/* The factors of one image, by enum ps_color, and the order in which they are applied. */
struct ps_jitter {
    uint32_t order[PS_COLORS];
    double factor[PS_COLORS];
};

/* Draws an order, then each factor uniformly, also those that will not be used. */
struct ps_jitter ps_jitter_draw(const struct ps_augment *augment, struct ps_rng *rng);

/*
 * The rectangle to erase in an image of size x size: 0.02 to 0.33 of the area, height to width 0.3
 * to 3.3, uniformly in the logarithm, lower and narrower than the image; 0 wide if there is none,
 * by chance or because ten did not fit.
 */
struct ps_box ps_erase_draw(const struct ps_augment *augment, int32_t size, struct ps_rng *rng);

/*
 * Augments (size, size, 3) RGB bytes with the numbers of (seed, epoch, image). Thread-safe.
 */
void ps_augment_apply(const struct ps_augment *augment, int32_t size, uint64_t seed, uint64_t epoch,
                      uint64_t image, uint8_t *pixels);

#endif
