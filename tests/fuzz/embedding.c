/* Fuzz target: an embedding file, packed or not, or a .npy file of values or labels. */
#include "eval/embedding.h"
#include "eval/npy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ps_embedding embedding;
    if (!ps_embedding_parse(&embedding, "fuzz", bytes, length))
        ps_embedding_free(&embedding);
    float *x;
    int64_t *values;
    size_t n, dim;
    if (!ps_npy_floats("fuzz", bytes, length, &x, &n, &dim))
        free(x);
    if (!ps_npy_ints("fuzz", bytes, length, &values, &n))
        free(values);
    return 0;
}
