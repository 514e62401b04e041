#include "view/histogram.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/mem.h"
#include "eval/similarity.h"
#include "view/plot.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { BINS = 100, BLOCK = 512 };
static const double least_width = 1e-6; /* float32 products tell no more apart */

struct counts {
    double least, most;      /* similarity of any pair */
    bool counting;           /* else least and most are being found */
    uint64_t pairs[2][BINS]; /* [equal labels] */
};

static void count_block(struct counts *counts, const float *product, const int64_t *label, size_t i,
                        size_t rows, size_t j, size_t columns)
{
    for (size_t a = 0; a < rows; a++)
        for (size_t b = 0; b < columns && j + b < i + a; b++) {
            double near = (double)product[a * columns + b];
            if (!counts->counting) {
                counts->least = fmin(counts->least, near);
                counts->most = fmax(counts->most, near);
                continue;
            }
            double place = (near - counts->least) / (counts->most - counts->least) * BINS;
            size_t bin = place <= 0 ? 0 : place >= BINS ? BINS - 1 : (size_t)place;
            counts->pairs[label[i + a] == label[j + b]][bin]++;
        }
}

static int count_pairs(const struct ps_embedding *e, struct counts *counts)
{
    float *rows = ps_calloc(e->n * e->dim, sizeof *rows);
    float *product = ps_calloc((size_t)BLOCK * BLOCK, sizeof *product);
    int rc = rows && product ? ps_rows_normalise(rows, e->x, e->n, e->dim, e->file, 0) : PS_ENOMEM;
    for (size_t i = 0; i < e->n && !rc; i += BLOCK) {
        size_t height = e->n - i < BLOCK ? e->n - i : BLOCK;
        for (size_t j = 0; j < i + height; j += BLOCK) {
            size_t width = e->n - j < BLOCK ? e->n - j : BLOCK;
            ps_similarity_block(product, rows + i * e->dim, height, rows + j * e->dim, width,
                                e->dim);
            count_block(counts, product, e->label, i, height, j, width);
        }
        if (ps_interrupted())
            rc = ps_fail_interrupted();
    }
    free(rows);
    free(product);
    return rc;
}

int ps_histogram_write(const struct ps_embedding *embedding, const char *path)
{
    static const char *const title[2] = {"different classes", "same class"};
    struct counts counts = {.least = INFINITY, .most = -INFINITY};
    double x[BINS + 1], y[2][BINS + 1];
    struct ps_series series[2];
    if (embedding->n < 2)
        return ps_fail(PS_EINVAL, "%s: a single row has no pairs", embedding->file);
    int rc = count_pairs(embedding, &counts);
    if (!rc && counts.most - counts.least < least_width) {
        counts.least -= least_width;
        counts.most += least_width;
    }
    counts.counting = true;
    if (!rc)
        rc = count_pairs(embedding, &counts);
    if (rc)
        return rc;
    double width = (counts.most - counts.least) / BINS;
    for (size_t same = 0; same < 2; same++) {
        double total = 0;
        for (size_t i = 0; i < BINS; i++)
            total += (double)counts.pairs[same][i];
        for (size_t i = 0; i < BINS; i++) {
            x[i] = counts.least + width * (double)i;
            y[same][i] = total > 0 ? (double)counts.pairs[same][i] / total / width : 0;
        }
        x[BINS] = counts.most; /* where the last step ends */
        y[same][BINS] = y[same][BINS - 1];
        series[same] = (struct ps_series){.title = title[same],
                                          .style = PS_PLOT_STEPS,
                                          .count = BINS + 1,
                                          .x = x,
                                          .y = y[same],
                                          .color = same ? 2 : 1};
    }
    const struct ps_plot plot = {.title = "Similarity of pairs",
                                 .x_label = "cosine similarity",
                                 .y_label = "density",
                                 .width = 800,
                                 .height = 480,
                                 .axes = true};
    return ps_plot_write(&plot, series, 2, path);
}
