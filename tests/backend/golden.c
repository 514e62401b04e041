/*
 * golden [--all] [--device NAME[/PRECISION]] DIR...: checks every golden file under the folders
 * (its metadata says what it is, tests/golden/README.md how it was made). Output is TAP, one line
 * for each file and backend. Without --all the reference backend skips networks with large inputs.
 */
#include "base/log.h"
#include "eval/metrics.h"
#include "golden_kit.h"
#include "golden_loss.h"
#include "golden_net.h"
#include "weights/weightfile.h"

#include <ftw.h>
#include <unistd.h>

static char **paths;
static size_t path_count, path_capacity;

static bool near(const struct ps_safetensors *file, const char *name, double got)
{
    double want = number_of(file, name);
    if (fabs(got - want) <= 1e-6)
        return true;
    printf("# %s: %.9g, should be %.9g\n", name, got, want);
    return false;
}

/* Retrieval metrics: tests/golden/eval. */
static bool check_metrics(const struct ps_safetensors *file)
{
    static const long k[] = {1, 2, 4, 8};
    const struct ps_retrieval_settings settings = {.k = k, .k_count = 4};
    const struct ps_tensor *x = ps_safetensors_find(file, "embedding");
    const struct ps_tensor *label = ps_safetensors_find(file, "label");
    if (!x || !label || x->ndim != 2 || label->count != (size_t)x->shape[0]) {
        printf("# embedding or label is missing\n");
        return false;
    }
    float *rows = ps_calloc(x->count, sizeof *rows);
    int64_t *labels = ps_calloc(label->count, sizeof *labels);
    struct ps_retrieval got = {0};
    bool passed =
        rows && labels && !ps_tensor_floats(x, rows) && !ps_tensor_ints(label, labels) &&
        !ps_retrieval_self(&got, rows, labels, label->count, (size_t)x->shape[1], &settings);
    for (int i = 0; i < 4 && passed; i++) {
        char name[16];
        snprintf(name, sizeof name, "recall@%ld", k[i]);
        passed = near(file, name, got.recall[i]);
    }
    passed = passed && near(file, "rp", got.rp) && near(file, "map@r", got.map_at_r) &&
             near(file, "queries", (double)got.queries) && near(file, "lone", (double)got.lone);
    ps_retrieval_free(&got);
    free(rows);
    free(labels);
    return passed;
}

static bool same_tensor(const struct ps_tensor *got, const struct ps_tensor *want)
{
    if (!want || got->ndim != want->ndim ||
        memcmp(got->shape, want->shape, (size_t)got->ndim * sizeof *got->shape) != 0)
        return false;
    bool floats = ps_dtype_is_float(want->dtype);
    size_t bytes = got->count * (floats ? sizeof(float) : sizeof(int64_t));
    void *a = ps_calloc(1, bytes + 1), *b = ps_calloc(1, bytes + 1);
    bool same_values = a && b && !(floats ? ps_tensor_floats(got, a) : ps_tensor_ints(got, a)) &&
                       !(floats ? ps_tensor_floats(want, b) : ps_tensor_ints(want, b)) &&
                       !memcmp(a, b, bytes);
    free(a);
    free(b);
    return same_values;
}

/* PyTorch's files: tests/golden/pth. What is in them is in expected.safetensors beside them; the
 * hostile ones are refused, and nothing in them is executed. */
static bool check_pth(const char *path)
{
    struct ps_safetensors file, expected;
    int rc = ps_weightfile_open(&file, path);
    if (!strncmp(ps_path_base(path), "hostile", 7)) {
        if (!rc)
            ps_safetensors_close(&file);
        return rc == PS_EFORMAT && access("ps-pickle-was-executed", F_OK) != 0;
    }
    char *folder = ps_path_folder(path), *beside = ps_path_join(folder, "expected.safetensors");
    bool passed = !rc && !ps_safetensors_open(&expected, beside) && file.count > 0;
    if (!passed)
        printf("# %s\n", ps_error());
    for (size_t i = 0; passed && i < file.count; i++) {
        const struct ps_tensor *got = &file.tensors[i];
        passed = same_tensor(got, ps_safetensors_find(&expected, got->name));
        if (!passed)
            printf("# %s differs from the tensor in %s\n", got->name, beside);
    }
    if (!rc) {
        ps_safetensors_close(&file);
        ps_safetensors_close(&expected);
    }
    free(folder);
    free(beside);
    return passed;
}

static void test_file(const char *path)
{
    struct ps_safetensors file;
    if (ps_has_suffix(path, ".pth")) {
        report(check_pth(path), path, "");
        return;
    }
    if (ps_safetensors_open(&file, path)) {
        printf("# %s\n", ps_error());
        report(false, path, "");
        return;
    }
    if (ps_safetensors_meta(&file, "backbone"))
        test_net(path, &file);
    else if (ps_safetensors_meta(&file, "loss"))
        test_loss(path, &file);
    else if (ps_safetensors_meta(&file, "recall@1"))
        report(check_metrics(&file), path, "");
    else
        skip(path, "", "its metadata names no known kind");
    ps_safetensors_close(&file);
}

static int collect(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    bool beside = !strcmp(path + walk->base, "expected.safetensors") || strstr(path, "/net64/") ||
                  strstr(path, "/published/");
    if (type != FTW_F || beside ||
        !(ps_has_suffix(path, ".safetensors") || ps_has_suffix(path, ".pth")))
        return 0;
    if (ps_grow(&paths, &path_capacity, path_count + 1, sizeof *paths))
        return 1;
    paths[path_count] = ps_strdup(path);
    return paths[path_count++] == NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
    ps_log_level(PS_LOG_WARN);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--all"))
            check_all = true;
        else if (!strcmp(argv[i], "--device") && i + 1 < argc)
            only_device = argv[++i];
        else if (nftw(argv[i], collect, 16, FTW_PHYS)) {
            fprintf(stderr, "golden: %s: cannot read the folder\n", argv[i]);
            return 1;
        }
    }
    qsort(paths, path_count, sizeof *paths, by_name);
    for (size_t i = 0; i < path_count; i++) {
        test_file(paths[i]);
        free(paths[i]);
    }
    free(paths);
    printf("1..%d\n", tests);
    return failures || !tests ? 1 : 0;
}
