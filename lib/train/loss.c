#include "train/loss.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/device.h"
#include "train/losshead.h"
#include "train/synthesis.h"

#include <stdlib.h>

/* Embeddings or proxies: real rows followed by synthetic rows, and their gradients. */
struct side {
    ps_vec *v, *d, *norm;  /* (capacity, D) values and gradients, (capacity) norms */
    struct ps_pairs pairs; /* of the current batch */
    size_t real;           /* real rows in the current batch */
    bool normalize_real;   /* before interpolation */
    bool normalize_made;
};

struct ps_loss {
    ps_backend *be;
    struct ps_loss_settings settings;
    const struct ps_loss_kind *kind;
    size_t classes, dim, max_batch;
    struct side x, w;
    ps_vec *z;               /* logits, then their gradient: (rows, columns K) */
    ps_vec *s, *t;           /* several centers: (rows, columns) scratch for the head */
    int32_t *label, *label2; /* (rows) */
    float *weight;
    double value, regularizer;    /* of the current batch, valid once the backend has finished */
    struct ps_loss_result result; /* of the current batch, without the value */
};

/* What enters the loss in the current batch. */
struct extent {
    size_t first, rows; /* of x */
    size_t columns;     /* classes, including synthetic ones */
    bool mixed;         /* rows have two labels */
};

static struct ps_mat rows_of(ps_vec *v, size_t first, size_t rows, size_t columns)
{
    return (struct ps_mat){v, first * columns, rows, columns};
}

static size_t max_pairs(const struct ps_loss_settings *settings, size_t max_batch)
{
    if (settings->regularizer == PS_REGULARIZER_PS)
        return ps_synthetic_count(settings->mu, max_batch);
    return ps_loss_uses_lambda(settings) ? max_batch : 0;
}

static int side_new(ps_backend *be, struct side *side, size_t real, size_t pairs, size_t dim)
{
    int rc = ps_pairs_new(&side->pairs, pairs);
    if (rc)
        return rc;
    side->v = be->ops->vec_new(be, (real + pairs) * dim);
    side->d = side->v ? be->ops->vec_new(be, (real + pairs) * dim) : NULL;
    side->norm = side->d ? be->ops->vec_new(be, real + pairs) : NULL;
    return side->norm ? PS_OK : ps_device_fail(be);
}

static int allocate(ps_loss *loss)
{
    ps_backend *be = loss->be;
    size_t k = (size_t)loss->settings.centers;
    size_t pairs = max_pairs(&loss->settings, loss->max_batch);
    size_t synthetic = loss->settings.regularizer == PS_REGULARIZER_PS ? pairs : 0;
    size_t rows = loss->max_batch + synthetic, columns = loss->classes + synthetic;
    int rc = side_new(be, &loss->x, loss->max_batch, pairs, loss->dim);
    if (!rc)
        rc = side_new(be, &loss->w, loss->classes * k, synthetic * k, loss->dim);
    if (rc)
        return rc;
    loss->label = ps_calloc(rows, sizeof *loss->label);
    loss->label2 = ps_calloc(rows, sizeof *loss->label2);
    loss->weight = ps_calloc(rows, sizeof *loss->weight);
    if (!loss->label || !loss->label2 || !loss->weight)
        return PS_ENOMEM;
    if (!(loss->z = be->ops->vec_new(be, rows * columns * k)))
        return ps_device_fail(be);
    if (loss->kind->centers > 1 && (!(loss->s = be->ops->vec_new(be, rows * columns)) ||
                                    !(loss->t = be->ops->vec_new(be, rows * columns))))
        return ps_device_fail(be);
    return PS_OK;
}

ps_loss *ps_loss_new(ps_backend *be, const struct ps_loss_settings *settings, size_t classes,
                     size_t dim, size_t max_batch)
{
    ps_loss *loss = ps_calloc(1, sizeof *loss);
    if (!loss)
        return NULL;
    loss->be = be;
    loss->settings = *settings;
    loss->kind = &ps_loss_kinds[settings->kind];
    loss->classes = classes;
    loss->dim = dim;
    loss->max_batch = max_batch;
    if (allocate(loss)) {
        ps_loss_free(loss);
        return NULL;
    }
    return loss;
}

void ps_loss_free(ps_loss *loss)
{
    if (!loss)
        return;
    ps_vec *const vectors[9] = {loss->x.v,    loss->x.d, loss->x.norm, loss->w.v, loss->w.d,
                                loss->w.norm, loss->z,   loss->s,      loss->t};
    for (size_t i = 0; i < 9; i++)
        if (vectors[i])
            loss->be->ops->vec_free(loss->be, vectors[i]);
    ps_pairs_free(&loss->x.pairs);
    ps_pairs_free(&loss->w.pairs);
    free(loss->label);
    free(loss->label2);
    free(loss->weight);
    free(loss);
}

static int check_batch(const ps_loss *loss, const struct ps_loss_batch *batch)
{
    size_t proxies = ps_loss_proxies(&loss->settings, loss->classes);
    if (!batch->x.rows || batch->x.rows > loss->max_batch || batch->x.cols != loss->dim ||
        batch->proxy.rows != proxies || batch->proxy.cols != loss->dim)
        return ps_fail(PS_EINVAL, "loss: unexpected batch of %zu x %zu with %zu proxies",
                       batch->x.rows, batch->x.cols, batch->proxy.rows);
    for (size_t i = 0; i < batch->x.rows; i++)
        if (batch->labels[i] < 0 || (size_t)batch->labels[i] >= loss->classes)
            return ps_fail(PS_EINVAL, "loss: row %zu has label %d of %zu classes", i,
                           batch->labels[i], loss->classes);
    if (!batch->lambda && ps_loss_uses_lambda(&loss->settings))
        return ps_fail(PS_EINVAL, "loss: batch without interpolation coefficients");
    return PS_OK;
}

/* Proxy Synthesis: each pair gives a sample and a proxy of a new class. */
static void plan_synthesis(ps_loss *loss, const struct ps_loss_batch *batch, struct extent *e)
{
    size_t n = ps_synthetic_count(loss->settings.mu, e->rows);
    ps_pairs_plan(&loss->x.pairs, n, batch->labels, e->rows, batch->lambda,
                  loss->settings.keep_equal);
    ps_pairs_of_proxies(&loss->w.pairs, &loss->x.pairs, batch->labels,
                        (size_t)loss->settings.centers);
    size_t made = loss->x.pairs.count;
    for (size_t i = 0; i < made; i++)
        loss->label[e->rows + i] = (int32_t)(loss->classes + i);
    e->rows += made;
    e->columns += made;
}

/* Mixup: mixed rows with two labels replace the real rows. */
static void plan_mixup(ps_loss *loss, const struct ps_loss_batch *batch, struct extent *e)
{
    e->mixed = true;
    for (size_t i = 0; i < e->rows; i++) {
        loss->label2[i] = batch->labels[i ? i - 1 : e->rows - 1];
        loss->weight[i] = batch->lambda[i];
    }
    if (batch->images_mixed)
        return;
    ps_pairs_plan(&loss->x.pairs, e->rows, batch->labels, e->rows, batch->lambda, true);
    e->first = e->rows;
    /* Mixing raw embeddings equals manifold mixup of the pooled features, as the last layer is
     * affine. */
    loss->x.normalize_real &= loss->settings.regularizer != PS_REGULARIZER_MANIFOLD;
}

/* Chooses the pairs of a batch and the labels of all rows of the loss. */
static struct extent plan(ps_loss *loss, const struct ps_loss_batch *batch)
{
    struct extent e = {.rows = batch->x.rows, .columns = loss->classes};
    struct side *sides[] = {&loss->x, &loss->w};
    for (int i = 0; i < 2; i++) {
        sides[i]->pairs.count = sides[i]->pairs.left_out = 0;
        sides[i]->normalize_real = sides[i]->normalize_made = loss->kind->normalize;
    }
    loss->x.real = batch->x.rows;
    loss->w.real = batch->proxy.rows;
    for (size_t i = 0; i < e.rows; i++)
        loss->label[i] = batch->labels[i];
    if (!ps_loss_uses_lambda(&loss->settings))
        return e;
    if (loss->settings.regularizer == PS_REGULARIZER_PS)
        plan_synthesis(loss, batch, &e);
    else
        plan_mixup(loss, batch, &e);
    return e;
}

static struct ps_mat real_norm(const struct side *side)
{
    return rows_of(side->norm, 0, side->real, 1);
}

static struct ps_mat made_norm(const struct side *side)
{
    return rows_of(side->normalize_made ? side->norm : NULL, side->real, side->pairs.count, 1);
}

/* Copies (normalised) `source` to the real rows and computes the synthetic rows. */
static int side_forward(ps_backend *be, struct side *side, struct ps_mat source)
{
    struct ps_mat real = rows_of(side->v, 0, side->real, source.cols);
    struct ps_mat made = rows_of(side->v, side->real, side->pairs.count, source.cols);
    int rc = side->normalize_real ? be->ops->normalize(be, source, real, real_norm(side))
                                  : be->ops->vec_axpby(be, 0, side->v, 0, 1, source.v,
                                                       source.offset, source.rows * source.cols);
    return rc || ps_synthesis_forward(be, &side->pairs, real, made, made_norm(side));
}

/* Backpropagates the gradient of all rows to the source. */
static int side_backward(ps_backend *be, struct side *side, struct ps_mat d_source, bool accumulate)
{
    size_t d = d_source.cols, made = side->pairs.count;
    struct ps_mat real = rows_of(side->v, 0, side->real, d);
    struct ps_mat d_real = rows_of(side->d, 0, side->real, d);
    int rc = ps_synthesis_backward(be, &side->pairs, rows_of(side->v, side->real, made, d),
                                   made_norm(side), rows_of(side->d, side->real, made, d), d_real);
    if (rc)
        return rc;
    if (side->normalize_real)
        return be->ops->normalize_grad(be, real, real_norm(side), d_real, d_source, accumulate);
    return be->ops->vec_axpby(be, accumulate, d_source.v, d_source.offset, 1, side->d, 0,
                              side->real * d);
}

static struct ps_loss_head head_of(ps_loss *loss, const struct extent *e, struct ps_mat z)
{
    return (struct ps_loss_head){
        .backend = loss->be,
        .kind = loss->kind,
        .settings = &loss->settings,
        .z = z,
        .label = loss->label,
        .label2 = e->mixed ? loss->label2 : NULL,
        .weight = e->mixed ? loss->weight : NULL,
        .s = rows_of(loss->s, 0, e->rows, e->columns),
        .ds = rows_of(loss->t, 0, e->rows, e->columns),
        .w = rows_of(loss->w.v, 0, loss->w.real, loss->dim),
        .dw = rows_of(loss->w.d, 0, loss->w.real, loss->dim),
        .value = &loss->value,
        .regularizer = &loss->regularizer,
    };
}

int ps_loss_begin(ps_loss *loss, const struct ps_loss_batch *batch)
{
    int rc = check_batch(loss, batch);
    if (rc)
        return rc;
    ps_backend *be = loss->be;
    const struct ps_backend_ops *ops = be->ops;
    struct extent e = plan(loss, batch);
    size_t d = loss->dim, columns = loss->w.real + loss->w.pairs.count;
    struct ps_mat x = rows_of(loss->x.v, e.first, e.rows, d);
    struct ps_mat dx = rows_of(loss->x.d, e.first, e.rows, d);
    struct ps_mat w = rows_of(loss->w.v, 0, columns, d), dw = rows_of(loss->w.d, 0, columns, d);
    struct ps_mat z = rows_of(loss->z, 0, e.rows, columns);
    const struct ps_loss_head head = head_of(loss, &e, z);
    loss->regularizer = 0;

    rc = side_forward(be, &loss->x, batch->x) || side_forward(be, &loss->w, batch->proxy) ||
         ops->gemm(be, false, true, 1, x, w, 0, z) || loss->kind->head(&head) ||
         (e.first && ops->vec_zero(be, loss->x.d, 0, e.first * d)) ||
         ops->gemm(be, false, false, 1, z, w, 0, dx) ||
         ops->gemm(be, true, false, 1, z, x, 0, dw) ||
         (loss->kind->regularize && loss->kind->regularize(&head)) ||
         side_backward(be, &loss->x, batch->dx, false) ||
         side_backward(be, &loss->w, batch->dproxy, batch->accumulate);
    if (rc)
        return ps_device_fail(be);
    loss->result = (struct ps_loss_result){.synthetic = e.columns - loss->classes,
                                           .left_out = loss->x.pairs.left_out};
    return PS_OK;
}

int ps_loss_end(ps_loss *loss, struct ps_loss_result *result)
{
    if (ps_backend_wait(loss->be))
        return ps_device_fail(loss->be);
    *result = loss->result;
    result->value = loss->value + loss->regularizer;
    return PS_OK;
}

int ps_loss_run(ps_loss *loss, const struct ps_loss_batch *batch, struct ps_loss_result *result)
{
    int rc = ps_loss_begin(loss, batch);
    return rc ? rc : ps_loss_end(loss, result);
}
