/* Fuzz target: a zip archive; every byte of every record is read. */
#include "weights/weightfile.h"
#include "weights/zip.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ps_zip zip;
    if (!ps_zip_parse(&zip, "fuzz", bytes, length)) {
        unsigned sum = 0;
        for (size_t i = 0; i < zip.count; i++) {
            const struct ps_zip_record *record = &zip.records[i];
            for (size_t k = 0; k < record->size; k++)
                sum += record->data[k];
            if (ps_zip_find(&zip, "", 0, record->name, record->name_length) != record)
                abort();
        }
        volatile unsigned sink = sum;
        (void)sink;
        ps_zip_free(&zip);
    }
    struct ps_safetensors file;
    if (!ps_weightfile_parse(&file, "fuzz", bytes, length))
        ps_safetensors_close(&file);
    return 0;
}
