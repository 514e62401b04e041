/*
 * Resizing, bit-exact with Pillow's bilinear filter: a triangle filter whose support grows with the
 * scale (antialiasing), 22-bit fixed-point weights, a horizontal and a vertical pass, each rounded
 * to 8 bits.
 */
#ifndef PS_DATA_RESAMPLE_H
#define PS_DATA_RESAMPLE_H

#include <stdint.h>

/*
 * Weights of two consecutive input samples in units of 2^-22, split as upper * 2^16 + lower. Upper
 * halves are 0..64, and their weighted sums of bytes fit 16 bits: rounding at most doubles their
 * total of 64. Lower halves are signed 16-bit.
 */
struct ps_weights {
    int8_t upper[2];
    int16_t lower[2];
};

/* The filter along one axis: each of `count` output samples as a weighted sum of input samples. */
struct ps_axis {
    int32_t count, pairs;
    int32_t *first;            /* (count) the first input sample */
    int32_t *used;             /* (count) how many input samples follow, 1..2*pairs */
    struct ps_weights *weight; /* (count, pairs), zero beyond `used` */
};

/*
 * Output samples from..from+count-1 of the input interval start..start+length (not necessarily
 * integers) resized to `out` samples. As for a crop, input outside the interval is ignored. Call
 * ps_axis_free() also after a failure.
 */
int ps_axis_make(struct ps_axis *axis, double start, double length, int32_t out, int32_t from,
                 int32_t count);
void ps_axis_free(struct ps_axis *axis);

/* Reverses the output: a flip at no cost. */
void ps_axis_flip(struct ps_axis *axis);

/* Range of input samples used: *first..*end-1. */
void ps_axis_span(const struct ps_axis *axis, int32_t *first, int32_t *end);

/* Vector loads may read this many bytes past the last pixel; the values are ignored. */
enum { PS_VIEW_SLACK = 32 };

/* A region of an image: pixel (x, y) of the image is at pixels + ((y-y0)*width + x-x0) * 3. */
struct ps_view {
    const uint8_t *pixels; /* (height, width, 3), followed by PS_VIEW_SLACK readable bytes */
    int32_t x0, y0, width, height;
};

/* `view` must cover the spans of both axes. out is (rows->count, columns->count, 3). */
int ps_resample(const struct ps_view *view, const struct ps_axis *columns,
                const struct ps_axis *rows, uint8_t *out);

#endif
