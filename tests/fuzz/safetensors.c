/* Fuzz target: a safetensors file. */
#include "weights/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ps_safetensors file;
    if (ps_safetensors_parse(&file, "fuzz", bytes, length))
        return 0;
    for (size_t i = 0; i < file.count; i++) {
        const struct ps_tensor *tensor = &file.tensors[i];
        void *values = malloc(8 * tensor->count + 1);
        if (ps_dtype_is_float(tensor->dtype) ? ps_tensor_floats(tensor, values)
                                             : ps_tensor_ints(tensor, values))
            abort();
        free(values);
    }
    ps_safetensors_close(&file);
    return 0;
}
