#include "weights/weighttable.h"
#include "base/err.h"
#include "base/tsv.h"
#include "weights/tensorstats.h"

#include <stdlib.h>

static int show_tensor(FILE *out, const struct ps_tensor *tensor)
{
    struct ps_tensor_stats stats;
    struct ps_text shape = {0};
    int rc = ps_tensor_stats(tensor, &stats);
    if (!rc)
        rc = ps_shape_text(tensor, &shape);
    if (!rc)
        rc = ps_tsv_put_cell(out, tensor->name, '\t');
    if (!rc)
        fprintf(out, "%s\t%s\t%.6g\t%.6g\t%.6g\t%zu\n", ps_dtype_name(tensor->dtype), shape.data,
                stats.min, stats.max, stats.mean, stats.nan);
    ps_text_free(&shape);
    return rc;
}

int ps_weights_show(FILE *out, const struct ps_safetensors *file)
{
    int rc = PS_OK;
    for (size_t i = 0; i < file->pairs && !rc; i++) {
        fprintf(out, "# ");
        rc = ps_tsv_put_cell(out, file->metadata[2 * i], ':');
        fputc(' ', out);
        if (!rc)
            rc = ps_tsv_put_cell(out, file->metadata[2 * i + 1], '\n');
    }
    fprintf(out, "tensor\ttype\tshape\tmin\tmax\tmean\tnan\n");
    for (size_t i = 0; i < file->count && !rc; i++)
        rc = show_tensor(out, &file->tensors[i]);
    return rc;
}

/* One line of the comparison; *same becomes false where the tensors are not. */
static int compare_tensors(FILE *out, const struct ps_tensor *a, const struct ps_tensor *b,
                           double tolerance, bool *same)
{
    struct ps_tensor_difference difference;
    int rc = ps_tsv_put_cell(out, a->name, '\t');
    if (rc)
        return rc;
    rc = ps_tensor_difference(a, b, &difference);
    if (rc == PS_EMISMATCH) {
        struct ps_text text = {0};
        rc = ps_text_printf(&text, "%s ", ps_dtype_name(a->dtype));
        if (!rc)
            rc = ps_shape_text(a, &text);
        if (!rc)
            rc = ps_text_printf(&text, " and %s ", ps_dtype_name(b->dtype));
        if (!rc)
            rc = ps_shape_text(b, &text);
        if (!rc)
            fprintf(out, "%s\t\t\n", text.data);
        ps_text_free(&text);
        *same = false;
        return rc;
    }
    if (rc)
        return rc;
    bool close = difference.relative <= tolerance;
    fprintf(out, "%s\t%.6g\t%.6g\n", close ? "same" : "different", difference.absolute,
            difference.relative);
    *same &= close;
    return PS_OK;
}

int ps_weights_diff(FILE *out, const struct ps_safetensors *a, const struct ps_safetensors *b,
                    double tolerance, bool *same)
{
    int rc = PS_OK;
    *same = true;
    fprintf(out, "tensor\tresult\tabsolute\trelative\n");
    for (size_t i = 0; i < a->count && !rc; i++) {
        const struct ps_tensor *other = ps_safetensors_find(b, a->tensors[i].name);
        if (other) {
            rc = compare_tensors(out, &a->tensors[i], other, tolerance, same);
        } else if (!(rc = ps_tsv_put_cell(out, a->tensors[i].name, '\t'))) {
            fprintf(out, "only in the first\t\t\n");
            *same = false;
        }
    }
    for (size_t i = 0; i < b->count && !rc; i++)
        if (!ps_safetensors_find(a, b->tensors[i].name) &&
            !(rc = ps_tsv_put_cell(out, b->tensors[i].name, '\t'))) {
            fprintf(out, "only in the second\t\t\n");
            *same = false;
        }
    return rc;
}
