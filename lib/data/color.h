/*
 * Changes of an image's colours, bit-exact with torchvision's functional.adjust_* on Pillow images:
 * ImageEnhance's blends in float32, and a shift of the hue in Pillow's 8-bit HSV.
 */
#ifndef PS_DATA_COLOR_H
#define PS_DATA_COLOR_H

#include <stddef.h>
#include <stdint.h>

enum ps_color { PS_COLOR_BRIGHTNESS, PS_COLOR_CONTRAST, PS_COLOR_SATURATION, PS_COLOR_HUE };
enum { PS_COLORS = 4 };

/*
 * Changes `count` RGB pixels. The first three blend the image, with weight `factor`, into black,
 * into the grey of its mean lightness, and into itself in grey: 1 changes nothing, more than 1
 * exaggerates. The hue is turned by `factor` of a circle, -0.5 to 0.5. Thread-safe.
 */
void ps_color_adjust(enum ps_color kind, double factor, uint8_t *pixels, size_t count);

#endif
