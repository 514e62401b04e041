/* An exponential that compilers vectorise without -ffast-math. */
#ifndef PS_CPU_EXPF_H
#define PS_CPU_EXPF_H

#include <stdint.h>
#include <string.h>

/*
 * e^x for x <= 0 with a relative error below 2e-7; about 1e-38 for x < -87; NaN for NaN. x = n ln 2
 * + r with |r| <= ln 2 / 2, and e^r by its Taylor series up to r^7.
 */
static inline float cpu_exp_negative(float x)
{
    const float magic = 12582912; /* 1.5 2^23: adding it rounds to an integer */
    float y = x < -87.0F ? -87.0F : x;
    float shifted = y * 1.44269504F + magic, n = shifted - magic;
    float r = (y - n * 0.693359375F) + n * 2.12194440e-4F;
    float p = 1.0F / 5040;
    p = p * r + 1.0F / 720;
    p = p * r + 1.0F / 120;
    p = p * r + 1.0F / 24;
    p = p * r + 1.0F / 6;
    p = p * r + 0.5F;
    p = p * r + 1;
    p = p * r + 1;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23; /* the low bits of `shifted` are n */
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

#endif
