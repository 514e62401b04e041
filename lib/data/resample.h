/*
 * Resizing with the arithmetic of Pillow's bilinear filter: a triangle as wide as the scale (so
 * that shrinking does not alias), 22-bit fixed-point weights, first along rows, then along columns,
 * each pass rounded to 8 bits. Given the same pixels it gives the same bytes as Pillow.
 */
#ifndef PS_DATA_RESAMPLE_H
#define PS_DATA_RESAMPLE_H

#include <stdint.h>

/*
 * Weights of two input samples, one after the other, in 1/2^22 and two parts: upper * 2^16 + lower.
 * The upper parts lie between 0 and 64, and their sums with bytes fit 16 bits: rounding at most
 * doubles their total, which would be 64. The lower parts have 16 bits and a sign.
 */
struct ps_weights {
    int8_t upper[2];
    int16_t lower[2];
};

/* How each of `count` output samples along one axis is made of input samples. */
struct ps_axis {
    int32_t count, pairs;
    int32_t *first;            /* (count) the first input sample */
    int32_t *used;             /* (count) how many input samples follow, 1..2*pairs */
    struct ps_weights *weight; /* (count, pairs), zero beyond `used` */
};

/*
 * The samples from..from+count-1 of the input samples start..start+length (which need not be whole
 * numbers) resized to `out`. As in a crop, samples outside are not seen. ps_axis_free() it, also
 * after a failure.
 */
int ps_axis_make(struct ps_axis *axis, double start, double length, int32_t out, int32_t from,
                 int32_t count);
void ps_axis_free(struct ps_axis *axis);

/* Reverses the output: a mirror image at no cost. */
void ps_axis_flip(struct ps_axis *axis);

/* The input samples used: *first..*end-1. */
void ps_axis_span(const struct ps_axis *axis, int32_t *first, int32_t *end);

/* Wide loads may read so far beyond the last pixel; what is there does not matter. */
enum { PS_VIEW_SLACK = 32 };

/* Part of an image: pixel (x, y) of the whole image is at pixels + ((y-y0)*width + x-x0) * 3. */
struct ps_view {
    const uint8_t *pixels; /* (height, width, 3), and PS_VIEW_SLACK readable bytes behind */
    int32_t x0, y0, width, height;
};

/* `view` must cover the spans of both axes. Writes (rows->count, columns->count, 3) to `out`. */
int ps_resample(const struct ps_view *view, const struct ps_axis *columns,
                const struct ps_axis *rows, uint8_t *out);

#endif
