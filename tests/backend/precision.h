/* A device with a precision in one word, "cuda/bf16", for programs that compare backends. */
#ifndef PS_TESTS_BACKEND_PRECISION_H
#define PS_TESTS_BACKEND_PRECISION_H

#include "net/device.h"

#include <stdio.h>
#include <string.h>

/* Tolerances of an operator whose factors are rounded, relative to the largest element. */
static const double precision_slack[] = {
    [PS_PRECISION_TF32] = 2e-3, [PS_PRECISION_BF16] = 1e-2, [PS_PRECISION_FP16] = 2e-3};

static inline enum ps_precision precision_of(const char *word)
{
    const char *slash = strchr(word, '/');
    static const char *const names[] = {"fp32", "tf32", "bf16", "fp16"};
    for (int i = 0; slash && i < 4; i++)
        if (!strcmp(slash + 1, names[i]))
            return (enum ps_precision)i;
    return PS_PRECISION_FP32;
}

static inline ps_backend *open_word(const char *word, int threads)
{
    char device[64];
    snprintf(device, sizeof device, "%.*s", (int)strcspn(word, "/"), word);
    return ps_device_open(
        device, &(struct ps_backend_config){.threads = threads, .precision = precision_of(word)});
}

#endif
