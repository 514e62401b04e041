/* What the cmocka tests of backends share. */
#ifndef PS_TESTS_BACKEND_ASSERTS_H
#define PS_TESTS_BACKEND_ASSERTS_H

#include "tests/backend/case.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Opens a backend with two threads. NULL, with the reason on stderr, if it refuses, say for want of
 * the precision. `cache` is a folder for measured choices, or NULL. */
static inline ps_backend *open_backend(const struct ps_backend_ops *ops,
                                       enum ps_precision precision, const char *cache)
{
    char message[400] = "";
    const struct ps_backend_config config = {.threads = 2, .precision = precision, .cache = cache};
    ps_backend *be = ops->open(&config, message, sizeof message);
    if (!be)
        fprintf(stderr, "%s: %s\n", ops->name, message);
    return be;
}

/* Fails if found (n) and expected (n) differ by more than `tolerance` times the largest element. */
static inline void assert_close(const char *text, const char *what, const float *expected,
                                const float *found, size_t n, double tolerance)
{
    double largest = 0, difference = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)expected[i] - found[i]);
        largest = fmax(largest, fabs((double)expected[i]));
        difference = d <= difference ? difference : d; /* NaN stays */
    }
    if (!(difference <= tolerance * largest))
        fail_msg("%s: %s: differs by %g of %g", text, what, difference, largest);
}

#endif
