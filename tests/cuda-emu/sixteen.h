/*
 * Conversion to and from 16 bits, rounding to nearest even: bfloat16 (8 bits of exponent, 7 of
 * mantissa) and IEEE half (5 and 10); and rounding to TF32, as tensor cores do.
 */
#ifndef PS_TESTS_CUDA_EMU_SIXTEEN_H
#define PS_TESTS_CUDA_EMU_SIXTEEN_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float bits_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Rounds to a multiple of 2^exponent. */
static inline float round_at(float x, int exponent)
{
    return ldexpf(rintf(ldexpf(x, -exponent)), exponent);
}

/* Rounds to `mantissa` bits after the leading one; below 2^least, as a subnormal number. */
static inline float round_to(float x, int mantissa, int least)
{
    int exponent;
    if (x == 0 || !isfinite(x))
        return x;
    frexpf(x, &exponent); /* |x| in [2^(exponent - 1), 2^exponent) */
    exponent = exponent - 1 < least ? least : exponent - 1;
    return round_at(x, exponent - mantissa);
}

static inline float round_tf32(float x)
{
    return round_to(x, 10, -126);
}

static inline float from_bf16(uint16_t bits)
{
    return bits_float((uint32_t)bits << 16);
}

static inline uint16_t to_bf16(float x)
{
    if (isnan(x))
        return 0x7fff;
    return (uint16_t)(float_bits(round_to(x, 7, -126)) >> 16);
}

static inline float from_half(uint16_t bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    float sign = bits >> 15 ? -1 : 1;
    if (exponent == 31)
        return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexpf((float)mantissa, -24);
    return sign * ldexpf((float)(mantissa + 1024), exponent - 25);
}

static inline uint16_t to_half(float x)
{
    uint16_t sign = (uint16_t)(signbit(x) ? 0x8000 : 0);
    if (isnan(x))
        return 0x7fff;
    float rounded = fabsf(round_to(x, 10, -14));
    if (rounded > 65504)
        return sign | 0x7c00;
    if (rounded < 0x1p-14F)
        return (uint16_t)(sign | (int)ldexpf(rounded, 24));
    int exponent;
    float fraction = frexpf(rounded, &exponent); /* [0.5, 1) */
    return (uint16_t)(sign | (exponent + 14) << 10 | ((int)ldexpf(fraction, 11) - 1024));
}

#endif
