/* Fuzz target: a table, read as TSV and as CSV. */
#include "base/tsv.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void touch_cells(const struct ps_tsv *table)
{
    for (size_t i = 0; i < table->rows * table->columns; i++)
        free(ps_tsv_escape(table->cells[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    for (int csv = 0; csv < 2; csv++) {
        struct ps_tsv table = {0};
        if (ps_tsv_parse(&table, csv ? "fuzz.csv" : "fuzz.tsv", (const char *)bytes, length))
            continue;
        touch_cells(&table);
        ps_tsv_free(&table);
    }
    return 0;
}
