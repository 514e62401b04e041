#include "eval/whiten.h"
#include "base/err.h"
#include "base/mem.h"
#include "eval/similarity.h"

#include <faiss/c_api/VectorTransform_c.h>
#include <faiss/c_api/error_c.h>
#include <math.h>
#include <stdlib.h>

struct ps_whitening {
    FaissPCAMatrix *transform;
    size_t dim_in, dim_out;
};

static float *normalised(const struct ps_embedding *e)
{
    float *x = ps_calloc(e->n * e->dim, sizeof *x);
    if (x && ps_rows_normalise(x, e->x, e->n, e->dim, e->file, 0)) {
        free(x);
        return NULL;
    }
    return x;
}

ps_whitening *ps_whitening_fit(const struct ps_embedding *from, size_t dim, bool whiten)
{
    if (dim > from->dim || from->n <= from->dim) {
        ps_fail(PS_EINVAL,
                "%s: %zu rows of %zu dimensions cannot give %zu principal components; it takes "
                "more rows than dimensions",
                from->file, from->n, from->dim, dim);
        return NULL;
    }
    float *x = normalised(from);
    ps_whitening *whitening = x ? ps_calloc(1, sizeof *whitening) : NULL;
    if (whitening) {
        *whitening = (struct ps_whitening){.dim_in = from->dim, .dim_out = dim};
        if (faiss_PCAMatrix_new_with(&whitening->transform, (int)from->dim, (int)dim,
                                     whiten ? -0.5F : 0, 0) ||
            faiss_VectorTransform_train(whitening->transform, (idx_t)from->n, x)) {
            ps_fail(PS_EBACKEND, "FAISS: %s: %s", from->file, faiss_get_last_error());
            ps_whitening_free(whitening);
            whitening = NULL;
        }
    }
    free(x);
    return whitening;
}

void ps_whitening_free(ps_whitening *whitening)
{
    if (whitening && whitening->transform)
        faiss_VectorTransform_free(whitening->transform);
    free(whitening);
}

int ps_whitening_apply(const ps_whitening *whitening, struct ps_embedding *embedding)
{
    if (embedding->dim != whitening->dim_in)
        return ps_fail(PS_EMISMATCH, "%s: has %zu dimensions, but the PCA was fitted to %zu",
                       embedding->file, embedding->dim, whitening->dim_in);
    float *x = normalised(embedding);
    if (!x)
        return ps_error_code();
    float *out = ps_calloc(embedding->n * whitening->dim_out, sizeof *out);
    free(embedding->x);
    embedding->x = out;
    embedding->dim = whitening->dim_out;
    int rc = out ? PS_OK : PS_ENOMEM;
    if (out)
        faiss_VectorTransform_apply_noalloc(whitening->transform, (idx_t)embedding->n, x, out);
    for (size_t i = 0; i < embedding->n * embedding->dim && !rc; i++)
        if (!isfinite(out[i]))
            rc = ps_fail(PS_ENUMERIC,
                         "%s: whitening: component %zu has no variance; keep fewer (--dims)",
                         embedding->file, i % embedding->dim);
    free(x);
    return rc;
}
