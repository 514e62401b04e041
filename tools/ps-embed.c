#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/opt.h"
#include "eval/interop.h"
#include "net/device.h"
#include "net/model.h"
#include "train/embed.h"

#include <stdlib.h>
#include <string.h>

struct settings {
    const char *model, *output, *device;
    long raw, batch, workers, threads, level;
    int precision, type, format;
};

struct shards {
    ps_shard **list;
    size_t count;
};

static void close_shards(struct shards *shards)
{
    for (size_t i = 0; i < shards->count; i++)
        ps_shard_close(shards->list[i]);
    free((void *)shards->list);
}

static int open_shards(char **paths, int count, struct shards *shards)
{
    shards->list = ps_calloc((size_t)count, sizeof(void *));
    if (!shards->list)
        return PS_ENOMEM;
    for (int i = 0; i < count; i++) {
        ps_shard *shard = ps_shard_open(paths[i]);
        if (!shard)
            return ps_error_code();
        shards->list[shards->count++] = shard;
    }
    return PS_OK;
}

/* What would fail only once all is embedded. */
static int check_output(const struct shards *shards, size_t dim, const struct settings *settings)
{
    size_t rows = 0;
    int rc = PS_OK;
    for (size_t i = 0; i < shards->count && !rc; i++) {
        rows += ps_shard_count(shards->list[i]);
        rc = ps_class_names_check(shards->list[i]);
    }
    return rc ? rc
              : ps_embedding_check_output(settings->output,
                                          (enum ps_embedding_format)settings->format, rows, dim,
                                          settings->type == 1);
}

static struct ps_embed_settings embedding_settings(const struct settings *settings)
{
    return (struct ps_embed_settings){
        .threads = (int)settings->workers, .batch = (size_t)settings->batch, .label = "embedding"};
}

static int embed_with_model(struct ps_embedding *e, const struct shards *shards,
                            const struct settings *settings)
{
    struct ps_model model;
    int rc = ps_model_open(&model, settings->model);
    if (rc)
        return rc;
    struct ps_backend_config config = {.threads = (int)settings->threads,
                                       .precision = settings->precision};
    ps_backend *be = ps_device_open(settings->device, &config);
    ps_net *net = be ? ps_model_net(&model, be, false) : NULL;
    if (net)
        ps_net_only_infer(net);
    rc = net ? check_output(shards, (size_t)ps_net_spec_of(net)->dim, settings)
             : (int)ps_error_code();
    struct ps_embed_settings how = embedding_settings(settings);
    const char *orient = ps_safetensors_meta(&model.file, "orient");
    how.resize = model.resize;
    how.orient = orient && !strcmp(orient, "true");
    if (!rc && !(rc = ps_embed_shards(e, net, shards->list, shards->count, &how, 0))) {
        rc = ps_embedding_add_meta(e, "model_id", model.id);
        if (rc)
            ps_embedding_free(e);
    }
    ps_net_free(net);
    ps_device_close(be);
    ps_model_close(&model);
    return ps_device_suggest(rc, (size_t)settings->batch, false);
}

static int embed_pixels(struct ps_embedding *e, const struct shards *shards,
                        const struct settings *settings)
{
    struct ps_embed_settings how = embedding_settings(settings);
    int rc = check_output(shards, (size_t)(3 * settings->raw * settings->raw), settings);
    if (!rc)
        rc = ps_embed_shards(e, NULL, shards->list, shards->count, &how, (int)settings->raw);
    char id[40];
    snprintf(id, sizeof id, "raw pixels %ldx%ld", settings->raw, settings->raw);
    if (!rc && (rc = ps_embedding_add_meta(e, "model_id", id)))
        ps_embedding_free(e);
    return rc;
}

static int run(char **paths, int count, const struct settings *settings)
{
    if (!settings->model == !settings->raw)
        return ps_fail(PS_EUSAGE, "give either --model FILE or --raw-pixels SIZE");
    if (!settings->output)
        return ps_fail(PS_EUSAGE, "--output is missing");
    if (!count)
        return ps_fail(PS_EUSAGE, "no shard given");
    struct shards shards = {0};
    struct ps_embedding e;
    int rc = open_shards(paths, count, &shards);
    if (!rc)
        rc = settings->model ? embed_with_model(&e, &shards, settings)
                             : embed_pixels(&e, &shards, settings);
    if (!rc) {
        e.half = settings->type == 1;
        rc = ps_embedding_save(&e, settings->output, (enum ps_embedding_format)settings->format,
                               (int)settings->level);
        ps_embedding_free(&e);
    }
    close_shards(&shards);
    return rc;
}

int main(int argc, char **argv)
{
    struct settings settings = {.device = "auto", .batch = 128, .workers = 4, .level = 1};
    struct ps_opt options[] = {
        PS_TEXT("model", &settings.model, "FILE", "model written by ps-train", .letter = 'm'),
        PS_TEXT("output", &settings.output, "FILE", "output file; - is stdout", .letter = 'o'),
        PS_INT("raw-pixels", &settings.raw, 0, 1024,
               "instead of a model: embed the raw pixels, resized and cropped to SIZE x SIZE",
               .argument = "SIZE"),
        PS_INT("batch-size", &settings.batch, 1, 65536, "images per forward pass", .letter = 'b'),
        PS_INT("workers", &settings.workers, 0, 1024, "threads that read images; 0: all processors",
               .letter = 'j'),
        PS_TEXT("device", &settings.device, "NAME", "auto, cpu, cuda, cuda:N or ref"),
        PS_INT("threads", &settings.threads, 0, 4096, "compute threads; 0: all processors"),
        PS_CHOICE("precision", &settings.precision, PS_PRECISION_NAMES,
                  "precision of the network; tf32 and bf16 need AMX or a GPU, fp16 a GPU"),
        PS_CHOICE("type", &settings.type, "f32|f16", "element type"),
        PS_CHOICE("format", &settings.format, ps_embedding_format_words, "file format"),
        PS_INT("level", &settings.level, 1, 19, "zstd compression level"),
    };
    struct ps_command command = {
        .name = "ps-embed",
        .synopsis =
            "[options] -m MODEL -o FILE SHARD...\n[options] --raw-pixels SIZE -o FILE SHARD...",
        .summary = "Computes the embeddings of all images in the shards. The input transform is "
                   "stored in the model file.",
        .examples = "  ps-embed -m run/last.safetensors -o test.emb.zst test.mdb\n  ps-embed -m "
                    "run/last.safetensors -o - test.mdb | ps-eval -\n",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int operands = 0;
    int rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN)
        rc = run(argv, operands, &settings);
    return ps_opt_finish(&command, rc);
}
