/* Tables of the content of a weight file and of the differences of two. */
#ifndef PS_WEIGHTS_WEIGHTTABLE_H
#define PS_WEIGHTS_WEIGHTTABLE_H

#include "weights/safetensors.h"

#include <stdbool.h>
#include <stdio.h>

/* Metadata as "# name: value" lines, then columns tensor, type, shape, min, max, mean, nan. Write
 * errors are left to whoever closes `out`. */
int ps_weights_show(FILE *out, const struct ps_safetensors *file);

/* Columns tensor, result, absolute, relative; relative differences up to `tolerance` are ignored.
 */
int ps_weights_diff(FILE *out, const struct ps_safetensors *a, const struct ps_safetensors *b,
                    double tolerance, bool *same);

#endif
