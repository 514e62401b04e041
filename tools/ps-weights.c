/* ps-weights: weight files in, out, and looked into. */
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/tsv.h"
#include "net/tensorstats.h"
#include "net/weightfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    const char *output;
    double tolerance;
};

/* Prints text that came from a file as a cell of a table. */
static int print_cell(const char *text, char end)
{
    char *escaped = ps_tsv_escape(text);
    if (!escaped)
        return PS_ENOMEM;
    printf("%s%c", escaped, end);
    free(escaped);
    return PS_OK;
}

static int import(const char *path, const struct settings *settings)
{
    if (!settings->output)
        return ps_fail(PS_EUSAGE, "import needs -o FILE");
    struct ps_safetensors file;
    struct ps_hash id;
    int rc = ps_weightfile_open(&file, path);
    if (rc)
        return rc;
    id = ps_hash_bytes(file.map.bytes, file.map.length);
    static const char made_by[] = "ps-weights " PS_VERSION;
    const char *const metadata[] = {"source", ps_path_base(path), "source-id",
                                    id.hex,   "made-by",          made_by};
    rc = ps_weightfile_save(settings->output, &file, metadata, 3);
    size_t elements = 0;
    for (size_t i = 0; i < file.count; i++)
        elements += file.tensors[i].count;
    if (!rc)
        ps_info("%s: %zu tensors, %zu elements", settings->output, file.count, elements);
    ps_safetensors_close(&file);
    return rc;
}

static int show_tensor(const struct ps_tensor *tensor)
{
    struct ps_tensor_stats stats;
    struct ps_text shape = {0};
    int rc = ps_tensor_stats(tensor, &stats);
    if (!rc)
        rc = ps_shape_text(tensor, &shape);
    if (!rc)
        rc = print_cell(tensor->name, '\t');
    if (!rc)
        printf("%s\t%s\t%.6g\t%.6g\t%.6g\t%zu\n", ps_dtype_name(tensor->dtype), shape.data,
               stats.min, stats.max, stats.mean, stats.nan);
    ps_text_free(&shape);
    return rc;
}

static int show(const char *path)
{
    struct ps_safetensors file;
    int rc = ps_weightfile_open(&file, path);
    if (rc)
        return rc;
    for (size_t i = 0; i < file.pairs && !rc; i++) {
        printf("# ");
        rc = print_cell(file.metadata[2 * i], ':');
        putchar(' ');
        if (!rc)
            rc = print_cell(file.metadata[2 * i + 1], '\n');
    }
    printf("tensor\ttype\tshape\tmin\tmax\tmean\tnan\n");
    for (size_t i = 0; i < file.count && !rc; i++)
        rc = show_tensor(&file.tensors[i]);
    ps_safetensors_close(&file);
    return rc;
}

/* One line of the comparison; *same becomes false where the tensors are not. */
static int compare_tensors(const struct ps_tensor *a, const struct ps_tensor *b, double tolerance,
                           bool *same)
{
    struct ps_tensor_difference difference;
    int rc = print_cell(a->name, '\t');
    if (rc)
        return rc;
    rc = ps_tensor_difference(a, b, &difference);
    if (rc == PS_EMISMATCH) {
        struct ps_text text = {0};
        rc = ps_shape_text(a, &text);
        if (!rc)
            rc = ps_text_printf(&text, " and ");
        if (!rc)
            rc = ps_shape_text(b, &text);
        if (!rc)
            printf("%s %s %s\t\t\n", ps_dtype_name(a->dtype), text.data, ps_dtype_name(b->dtype));
        ps_text_free(&text);
        *same = false;
        return rc;
    }
    if (rc)
        return rc;
    bool close = difference.relative <= tolerance;
    printf("%s\t%.6g\t%.6g\n", close ? "same" : "different", difference.absolute,
           difference.relative);
    *same &= close;
    return PS_OK;
}

static int compare_files(const struct ps_safetensors *a, const struct ps_safetensors *b,
                         double tolerance, bool *same)
{
    int rc = PS_OK;
    printf("tensor\tresult\tabsolute\trelative\n");
    for (size_t i = 0; i < a->count && !rc; i++) {
        const struct ps_tensor *other = ps_safetensors_find(b, a->tensors[i].name);
        if (other) {
            rc = compare_tensors(&a->tensors[i], other, tolerance, same);
        } else if (!(rc = print_cell(a->tensors[i].name, '\t'))) {
            printf("only in the first\t\t\n");
            *same = false;
        }
    }
    for (size_t i = 0; i < b->count && !rc; i++)
        if (!ps_safetensors_find(a, b->tensors[i].name) &&
            !(rc = print_cell(b->tensors[i].name, '\t'))) {
            printf("only in the second\t\t\n");
            *same = false;
        }
    return rc;
}

static int diff(char **paths, const struct settings *settings)
{
    struct ps_safetensors a, b;
    bool same = true;
    int rc = ps_weightfile_open(&a, paths[0]);
    if (rc)
        return rc;
    if (!(rc = ps_weightfile_open(&b, paths[1]))) {
        rc = compare_files(&a, &b, settings->tolerance, &same);
        ps_safetensors_close(&b);
    }
    ps_safetensors_close(&a);
    if (!rc && !same)
        rc = ps_fail(PS_EMISMATCH, "%s and %s differ", paths[0], paths[1]);
    return rc;
}

static int run(char **words, int count, const struct settings *settings)
{
    const char *action = count ? words[0] : "";
    if (!strcmp(action, "import") && count == 2)
        return import(words[1], settings);
    if (!strcmp(action, "show") && count == 2)
        return show(words[1]);
    if (!strcmp(action, "diff") && count == 3)
        return diff(words + 1, settings);
    return ps_fail(PS_EUSAGE, "wanted: import FILE -o FILE, show FILE, or diff FILE FILE");
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    struct ps_opt options[] = {
        {.kind = PS_OPT_TEXT,
         .letter = 'o',
         .name = "output",
         .value = &settings.output,
         .argument = "FILE",
         .help = "import: the safetensors file to write; - for stdout"},
        {.kind = PS_OPT_REAL,
         .name = "tolerance",
         .value = &settings.tolerance,
         .argument = "X",
         .help = "diff: largest difference, relative to the largest element, that counts as same",
         .most = 1e300},
    };
    struct ps_command command = {
        .name = "ps-weights",
        .synopsis = "import FILE -o WEIGHTS\n"
                    "show FILE\n"
                    "diff [--tolerance X] FILE FILE",
        .summary =
            "Reads weight files of any kind (.safetensors; .pth and .pt of PyTorch, of which "
            "nothing is executed), shows and compares them.",
        .examples = "  ps-weights import resnet50-11ad3fa6.pth -o resnet50.safetensors\n"
                    "  ps-weights show resnet50.safetensors | column -t\n",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int operands, rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN)
        rc = run(argv, operands, &settings);
    else if (rc == PS_OPT_DONE)
        rc = PS_OK;
    int closed = ps_stdout_close();
    if (!rc)
        rc = closed;
    if (rc)
        ps_log_error();
    ps_opt_free(&command);
    return ps_exit_status(rc);
}
