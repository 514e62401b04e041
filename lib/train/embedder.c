#include "train/embedder.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "net/device.h"
#include "net/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t image_bytes(const struct ps_embedder *embedder)
{
    size_t size = (size_t)embedder->transform.size;
    return 3 * size * size;
}

static int open_net(struct ps_embedder *embedder, const struct ps_model *model,
                    const struct ps_embedder_settings *settings)
{
    struct ps_backend_config config = {.threads = settings->threads,
                                       .precision = settings->precision};
    const char *orient = ps_safetensors_meta(&model->file, "orient");
    embedder->backend = ps_device_open(settings->device, &config);
    embedder->net = embedder->backend ? ps_model_net(model, embedder->backend, false) : NULL;
    if (!embedder->net)
        return ps_error_code();
    embedder->transform = (struct ps_transform){.size = ps_net_spec_of(embedder->net)->size,
                                                .resize = model->resize,
                                                .orient = orient && !strcmp(orient, "true")};
    embedder->dim = ps_net_dim(embedder->net);
    snprintf(embedder->id, sizeof embedder->id, "%s", model->id);
    return PS_OK;
}

int ps_embedder_open(struct ps_embedder *embedder, const struct ps_embedder_settings *settings)
{
    *embedder = (struct ps_embedder){.workers = settings->workers};
    if (!settings->model) {
        int size = settings->raw_size;
        embedder->transform.size = size;
        embedder->dim = image_bytes(embedder);
        snprintf(embedder->id, sizeof embedder->id, "raw pixels %dx%d", size, size);
        return PS_OK;
    }
    struct ps_model model;
    int rc = ps_model_open(&model, settings->model);
    if (rc)
        return rc;
    rc = open_net(embedder, &model, settings);
    ps_model_close(&model);
    if (rc)
        ps_embedder_close(embedder);
    return rc;
}

void ps_embedder_close(struct ps_embedder *embedder)
{
    ps_net_free(embedder->net);
    ps_device_close(embedder->backend);
    free(embedder->input);
    *embedder = (struct ps_embedder){0};
}

static int make_room(struct ps_embedder *embedder, size_t batch)
{
    if (batch <= embedder->room)
        return PS_OK;
    free(embedder->input);
    embedder->input = ps_calloc(batch, image_bytes(embedder));
    embedder->room = embedder->input ? batch : 0;
    return embedder->input ? PS_OK : PS_ENOMEM;
}

struct decoding {
    const struct ps_embedder *embedder;
    const struct ps_picture *pictures;
    uint8_t *input;
};

static int decode(void *context, size_t i)
{
    const struct decoding *decoding = context;
    struct ps_record record = ps_picture_record(&decoding->pictures[i]);
    return ps_transform_apply(&decoding->embedder->transform, &record, NULL,
                              decoding->input + i * image_bytes(decoding->embedder));
}

int ps_embedder_put(struct ps_embedder *embedder, const struct ps_picture *pictures, size_t count,
                    size_t first, size_t batch)
{
    int rc = make_room(embedder, batch);
    if (rc)
        return rc;
    struct decoding decoding = {.embedder = embedder,
                                .pictures = pictures,
                                .input = embedder->input + first * image_bytes(embedder)};
    return ps_parallel_for(embedder->workers, count, decode, &decoding);
}

static int forward(struct ps_embedder *embedder, size_t count, size_t batch, float *x)
{
    struct ps_mat embedding;
    int rc = ps_net_forward(embedder->net, PS_INFER, embedder->input, batch, &embedding);
    ps_backend *be = embedder->backend;
    if (!rc && be->ops->vec_get(be, embedding.v, embedding.offset, x, count * embedder->dim))
        rc = ps_device_fail(be);
    return ps_device_suggest(rc, batch, false);
}

int ps_embedder_run(struct ps_embedder *embedder, size_t count, size_t batch, float *x)
{
    if (embedder->net)
        return forward(embedder, count, batch, x);
    for (size_t i = 0; i < count * embedder->dim; i++)
        x[i] = (float)embedder->input[i] / 255;
    return PS_OK;
}
