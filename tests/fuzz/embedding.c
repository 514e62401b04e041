/* Fuzz target: an embedding file, packed or not, or a .npy file of values, labels or texts,
 * or an .npz of them. */
#include "eval/embedding.h"
#include "eval/npy.h"
#include "eval/npz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ps_embedding embedding;
    if (!ps_embedding_parse(&embedding, "fuzz", bytes, length))
        ps_embedding_free(&embedding);
    embedding = (struct ps_embedding){.file = strdup("fuzz")};
    ps_npz_parse(&embedding, bytes, length);
    ps_embedding_free(&embedding);
    float *x;
    int64_t *values;
    size_t n, dim;
    if (!ps_npy_floats("fuzz", bytes, length, &x, &n, &dim))
        free(x);
    if (!ps_npy_ints("fuzz", bytes, length, &values, &n))
        free(values);
    char **texts;
    if (!ps_npy_texts("fuzz", bytes, length, &texts, &n)) {
        while (n)
            free(texts[--n]);
        free(texts);
    }
    return 0;
}
