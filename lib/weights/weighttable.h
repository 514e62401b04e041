/* Tables that tell what is in a weight file, and how two of them differ. */
#ifndef PS_WEIGHTS_WEIGHTTABLE_H
#define PS_WEIGHTS_WEIGHTTABLE_H

#include "weights/safetensors.h"

#include <stdbool.h>
#include <stdio.h>

/* Metadata as "# name: value" lines, then tensor, type, shape, min, max, mean, nan. A write that
 * fails is left to be seen by whoever closes `out`. */
int ps_weights_show(FILE *out, const struct ps_safetensors *file);

/* tensor, result, absolute, relative; relative differences up to `tolerance` count as none. */
int ps_weights_diff(FILE *out, const struct ps_safetensors *a, const struct ps_safetensors *b,
                    double tolerance, bool *same);

#endif
