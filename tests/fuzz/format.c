/* Fuzz target: the first bytes of a file of any kind, and the headers of images. */
#include "base/filekind.h"
#include "data/format.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    enum ps_format format = ps_format_of(bytes, length);
    (void)ps_format_turned(format, bytes, length);
    (void)ps_format_fault(format, bytes, length);
    (void)ps_is_image(bytes, length);
    (void)ps_file_kind(bytes, length);
    (void)ps_is_text(bytes, length);
    return 0;
}
