/* One batch of a run: forward, loss, backward. */
#include "base/err.h"
#include "net/device.h"
#include "train/run.h"
#include "train/synthesis.h"

#include <math.h>

/* Manifold mixup (Verma et al. 2019) mixes at a random layer per batch: here the images or the
 * input of the last layer. */
static bool draws_images(const struct ps_run *run)
{
    struct ps_rng rng = ps_rng_stream((uint64_t)run->settings->seed, PS_RNG_LAMBDA,
                                      (uint64_t)run->progress.step, 1);
    return run->mixed && ps_rng_below(&rng, 2) == 0;
}

/* Mixes each image with its cyclic predecessor, rounded to bytes. */
static void mix_images(struct ps_run *run, const struct ps_batch *batch)
{
    size_t size = (size_t)run->settings->input_size, bytes = size * size * 3;
    for (size_t i = 0; i < batch->count; i++) {
        const uint8_t *a = batch->images + i * bytes;
        const uint8_t *b = batch->images + (i ? i - 1 : batch->count - 1) * bytes;
        uint8_t *out = run->mixed + i * bytes;
        float lambda = run->lambda[i];
        for (size_t j = 0; j < bytes; j++)
            out[j] = (uint8_t)lrintf(lambda * (float)a[j] + (1 - lambda) * (float)b[j]);
    }
}

static int scale_gradient(struct ps_run *run, struct ps_mat dx)
{
    double factor = run->progress.scale.factor;
    ps_backend *be = run->backend;
    if (factor != 1 &&
        be->ops->vec_axpby(be, factor, dx.v, dx.offset, 0, dx.v, dx.offset, dx.rows * dx.cols))
        return ps_device_fail(be);
    return PS_OK;
}

int ps_run_batch(struct ps_run *run, const struct ps_batch *batch, bool accumulate, bool head_only)
{
    const struct ps_train_settings *s = run->settings;
    ps_subset_labels(&run->fit, batch->index, batch->count, run->labels);
    if (ps_loss_uses_lambda(&s->loss))
        ps_lambda_draw(run->lambda, batch->count, s->alpha, s->per_pair, (uint64_t)s->seed,
                       (uint64_t)run->progress.step);
    bool images_mixed = draws_images(run);
    if (images_mixed)
        mix_images(run, batch);

    struct ps_loss_batch args = {
        .dx = {run->dx, 0, batch->count, ps_net_dim(run->net)},
        .proxy = ps_net_proxy(run->net),
        .dproxy = ps_net_proxy_gradient(run->net),
        .accumulate = accumulate,
        .labels = run->labels,
        .lambda = run->lambda,
        .images_mixed = images_mixed,
    };
    /* images are staged where they pass through the network at once */
    const uint8_t *images = images_mixed            ? run->mixed
                            : run->pieces.count > 1 ? batch->images
                                                    : NULL;
    int rc = ps_pieces_forward(&run->pieces, images, batch->count, &args.x);
    if (!rc)
        rc = ps_loss_begin(run->loss, &args);
    if (!rc)
        rc = scale_gradient(run, args.dx);
    return rc ? rc : ps_pieces_backward(&run->pieces, args.dx, accumulate, head_only);
}

int ps_run_loss(struct ps_run *run, struct ps_loss_result *result)
{
    int rc = ps_loss_end(run->loss, result);
    if (rc || isfinite(result->value))
        return rc;
    return ps_fail(PS_ENUMERIC, "the loss is %s",
                   isnan(result->value) ? "not a number" : "infinite");
}
