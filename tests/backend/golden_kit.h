/* What the checks of golden files share: comparison, the devices, and TAP lines. */
#ifndef PS_TESTS_GOLDEN_KIT_H
#define PS_TESTS_GOLDEN_KIT_H

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "tests/backend/precision.h"
#include "weights/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tests, failures;
static bool check_all;
static const char *only_device;

static void report(bool passed, const char *path, const char *device)
{
    failures += !passed;
    printf("%s %d - %s%s\n", passed ? "ok" : "not ok", ++tests, path, device);
    fflush(stdout);
}

static void skip(const char *path, const char *device, const char *reason)
{
    printf("ok %d - %s%s # SKIP %s\n", ++tests, path, device, reason);
}

/* Does the file have a tensor of that name, equal to `got` (count)? The tolerance is relative to
 * the largest element, or to `scale` if that is larger; *seen becomes at least the error. */
static bool same(const struct ps_safetensors *file, const char *name, const float *got,
                 size_t count, double tolerance, double scale, double *seen)
{
    const struct ps_tensor *tensor = ps_safetensors_find(file, name);
    float *want = ps_calloc(count, sizeof *want);
    double difference = 0;
    bool passed = tensor && want && tensor->count == count && !ps_tensor_floats(tensor, want);
    for (size_t i = 0; i < count && passed; i++) {
        double d = fabs((double)got[i] - want[i]);
        difference = d <= difference ? difference : d; /* NaN stays */
        scale = fmax(scale, fabs((double)want[i]));
    }
    free(want);
    if (!passed)
        printf("# %s: missing, or not %zu numbers\n", name, count);
    else if (!(passed = difference <= tolerance * scale))
        printf("# %s: relative error %.2g, allowed %.2g\n", name, difference / scale, tolerance);
    else if (scale > 0)
        *seen = fmax(*seen, difference / scale);
    return passed;
}

/* Runs a check on every device, or on the given one, with a TAP line each. On failure the check
 * prints the reason or records an error. */
static void on_devices(const char *path, const struct ps_safetensors *file,
                       bool (*check)(const struct ps_safetensors *file, ps_backend *backend),
                       bool slow)
{
    static const char *const devices[] = {"ref", "cpu"};
    for (int i = 0; i < (only_device ? 1 : 2); i++) {
        const char *device = only_device ? only_device : devices[i];
        char on[32];
        snprintf(on, sizeof on, " on %s", device);
        if (slow && !check_all && !only_device && !strcmp(device, "ref")) {
            printf("# %s%s: slow, golden --all checks it\n", path, on);
            continue;
        }
        ps_fail_record(PS_OK, "%s", "");
        ps_backend *backend = open_word(device, 0);
        bool passed = backend && check(file, backend);
        if (*ps_error())
            printf("# %s\n", ps_error());
        ps_device_close(backend);
        report(passed, path, on);
    }
}

#endif
