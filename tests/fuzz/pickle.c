/* Fuzz target: a PyTorch checkpoint in the old container, that is, pickles and then data. */
#include "weights/pickle.h"
#include "weights/weightfile.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ps_pickle pickle;
    size_t used;
    if (!ps_pickle_parse(&pickle, "fuzz", bytes, length, &used)) {
        if (used > length)
            abort();
        ps_pickle_free(&pickle);
    }
    struct ps_safetensors file;
    if (!ps_weightfile_parse(&file, "fuzz", bytes, length))
        ps_safetensors_close(&file);
    return 0;
}
