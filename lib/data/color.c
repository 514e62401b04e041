#include "data/color.h"

#include <math.h>
#include <pthread.h>

/* Pillow's conversion to "L": ITU-R 601-2 in 16-bit fixed point. */
static uint32_t lightness(const uint8_t *rgb)
{
    return (rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16;
}

/* Image.blend: from + factor (to - from) in float32, cut off to a byte. */
static uint8_t blend(int from, int to, float factor)
{
    int value = (int)((float)from + factor * (float)(to - from));
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void blend_constant(int from, float factor, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = blend(from, bytes[i], factor);
}

static int mean_lightness(const uint8_t *pixels, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += lightness(pixels + 3 * i);
    return (int)((double)sum / (double)count + 0.5);
}

static void blend_grey(float factor, uint8_t *pixels, size_t count)
{
    enum { PART = 256 }; /* pixels */
    uint8_t grey[PART * 3];
    for (size_t at = 0; at < count; at += PART) {
        size_t part = count - at < PART ? count - at : PART;
        uint8_t *out = pixels + 3 * at;
        for (size_t i = 0; i < part; i++)
            grey[3 * i] = grey[3 * i + 1] = grey[3 * i + 2] = (uint8_t)lightness(out + 3 * i);
        for (size_t i = 0; i < 3 * part; i++)
            out[i] = blend(grey[i], out[i], factor);
    }
}

/*
 * Pillow's hue of a colour. For a chroma c, the difference of the largest and the smallest channel,
 * it depends on the place 0..6c-1 on the hexagon red 0, yellow c, green 2c, cyan 3c, blue 4c,
 * magenta 5c alone; place p of chroma c is at 3c(c-1) + p.
 */
static uint8_t hues[3 * 255 * 256];

static uint8_t *hues_of(int chroma)
{
    ptrdiff_t c = chroma;
    return hues + 3 * c * (c - 1);
}

/* rgb2hsv_row() of Pillow's Convert.c, which mixes float32 and float64. */
static uint8_t hue_at(int place, int chroma)
{
    int nearest = (place + chroma) / (2 * chroma) % 3; /* the largest channel: r, g, b */
    int from = place - 2 * chroma * nearest;           /* its corner; -chroma..chroma */
    if (nearest == 0 && place > chroma)
        from -= 6 * chroma;
    if (from == -chroma && nearest) { /* of two that are largest the first counts */
        nearest--;
        from = chroma;
    }
    /* distances of the two other channels from the largest, by the chroma */
    float next = from > 0 ? (float)(chroma - from) / (float)chroma : 1;
    float previous = from < 0 ? (float)(chroma + from) / (float)chroma : 1;
    float turn = nearest ? (float)(2.0 * nearest + previous - next) : previous - next;
    turn = (float)fmod(turn / 6.0 + 1.0, 1.0);
    return (uint8_t)(turn * 255.0);
}

static void fill_hues(void)
{
    for (int chroma = 1; chroma < 256; chroma++)
        for (int place = 0; place < 6 * chroma; place++)
            hues_of(chroma)[place] = hue_at(place, chroma);
}

/* hsv2rgb() for one hue: which channels are the largest, the middle and the smallest. */
struct sextant {
    double share; /* of the saturation, that the middle one loses */
    uint8_t largest, middle, smallest;
};

static struct sextant sextant_of(uint8_t hue)
{
    static const uint8_t channels[6][3] = {{0, 1, 2}, {1, 0, 2}, {1, 2, 0},
                                           {2, 1, 0}, {2, 0, 1}, {0, 2, 1}};
    double turn = hue * 6.0 / 255.0;
    int i = (int)turn;
    float share = (float)(turn - i);
    const uint8_t *channel = channels[i % 6];
    return (struct sextant){.share = i % 2 ? (double)share : 1.0 - (double)share,
                            .largest = channel[0],
                            .middle = channel[1],
                            .smallest = channel[2]};
}

static int place_on_hexagon(int r, int g, int b, int largest, int chroma)
{
    int at_red = g < b ? g - b + 6 * chroma : g - b;
    int at_green = b - r + 2 * chroma, at_blue = r - g + 4 * chroma;
    return r == largest ? at_red : g == largest ? at_green : at_blue;
}

static void shift_hue(double factor, uint8_t *pixels, size_t count)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_hues);
    int shift = (int)(factor * 255);
    struct sextant turned[256];
    float saturations[256];
    for (int i = 0; i < 256; i++) {
        turned[i] = sextant_of((uint8_t)(i + shift));
        saturations[i] = (float)(i / 255.0);
    }
    for (uint8_t *pixel = pixels; pixel < pixels + 3 * count; pixel += 3) {
        int r = pixel[0], g = pixel[1], b = pixel[2];
        int largest = r > g ? r : g, smallest = r < g ? r : g;
        largest = b > largest ? b : largest;
        smallest = b < smallest ? b : smallest;
        int chroma = largest - smallest;
        if (chroma == 0)
            continue;
        int place = place_on_hexagon(r, g, b, largest, chroma);
        const struct sextant *to = &turned[hues_of(chroma)[place]];
        double saturation = saturations[(int)((float)chroma / (float)largest * 255.0)];
        pixel[to->largest] = (uint8_t)largest;
        /* in float64, where Pillow rounds a product to float32, which changes no byte */
        pixel[to->middle] = (uint8_t)(largest * (1.0 - to->share * saturation) + 0.5);
        pixel[to->smallest] = (uint8_t)(largest * (1.0 - saturation) + 0.5);
    }
}

void ps_color_adjust(enum ps_color kind, double factor, uint8_t *pixels, size_t count)
{
    switch (kind) {
    case PS_COLOR_BRIGHTNESS:
        blend_constant(0, (float)factor, pixels, 3 * count);
        break;
    case PS_COLOR_CONTRAST:
        blend_constant(mean_lightness(pixels, count), (float)factor, pixels, 3 * count);
        break;
    case PS_COLOR_SATURATION:
        blend_grey((float)factor, pixels, count);
        break;
    case PS_COLOR_HUE:
        shift_hue(factor, pixels, count);
        break;
    }
}
