/* Comparison of two backends, and its report. */
#ifndef PS_TESTS_BACKEND_COMPARE_H
#define PS_TESTS_BACKEND_COMPARE_H

#include "tests/backend/case.h"

/* Tolerances, relative to the largest element. */
static const double FORWARD = 1e-4, GRADIENT = 1e-3;

struct outcome {
    char text[CASE_TEXT];        /* the case under test */
    double slack;                /* least tolerance, of a backend that rounds to 16 bits */
    long compared, wrong;        /* tensors */
    double worst;                /* largest difference, relative to its tolerance */
    char first[CASE_TEXT + 200]; /* describes the first wrong tensor */
};

/* expected, found (n) */
static inline void compare(struct outcome *o, const char *what, const float *expected,
                           const float *found, size_t n, double tolerance)
{
    double largest = 1e-6, difference = 0;
    size_t worst = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)expected[i] - (double)found[i]);
        if (isnan(d))
            d = isnan(expected[i]) && isnan(found[i]) ? 0 : INFINITY;
        if (d > difference) {
            difference = d;
            worst = i;
        }
    }
    double ratio = difference / (largest * fmax(tolerance, o->slack));
    o->compared++;
    o->worst = fmax(o->worst, ratio);
    if (ratio <= 1)
        return;
    if (o->wrong++ == 0)
        snprintf(o->first, sizeof o->first,
                 "%s: %s: element %zu of %zu is %g, expected %g (%g of the largest)", o->text, what,
                 worst, n, (double)found[worst], (double)expected[worst], difference / largest);
}

static inline void compare_numbers(struct outcome *o, const char *what, double expected,
                                   double found, double tolerance)
{
    float a = (float)expected, b = (float)found;
    compare(o, what, &a, &b, 1, tolerance);
}

static inline void compare_vecs(struct outcome *o, const char *what, ps_backend *const be[2],
                                const ps_vec *a, const ps_vec *b, size_t n, double tolerance)
{
    float *x = vec_values(be[0], a, n), *y = vec_values(be[1], b, n);
    compare(o, what, x, y, n, tolerance);
    free(x);
    free(y);
}

/* Prints a TAP line; returns 1 if something was wrong. */
static inline int report(const struct outcome *o, int test, const char *device, const char *name)
{
    printf("%sok %d - %s: %s against ref, %ld tensors, worst %.2g of the tolerance\n",
           o->wrong ? "not " : "", test, name, device, o->compared, o->worst);
    if (o->wrong)
        printf("# %ld wrong, first: %s\n", o->wrong, o->first);
    return o->wrong != 0;
}

#endif
