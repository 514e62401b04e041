#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/names0.h"
#include "base/opt.h"
#include "base/process.h"
#include "base/ranks.h"
#include "data/image_file.h"
#include "eval/interop.h"
#include "net/device.h"
#include "train/embed.h"
#include "train/embed_feed.h"

#include <stdlib.h>

struct settings {
    const char *model, *output, *device, *names, *quarantine;
    long raw, batch, workers, threads, level;
    int precision, type, format;
};

/* What is to be embedded: operands, then the names of --files0-from. */
struct operands {
    char **list;
    size_t count, capacity;
};

static int add_operand(struct operands *operands, const char *name)
{
    int rc = ps_grow(&operands->list, &operands->capacity, operands->count + 1, sizeof(char *));
    if (rc)
        return rc;
    operands->list[operands->count] = ps_strdup(name);
    return operands->list[operands->count] ? (operands->count++, PS_OK) : PS_ENOMEM;
}

static int take_operands(struct operands *operands, char **given, int count, const char *names_from)
{
    int rc = PS_OK;
    for (int i = 0; i < count && !rc; i++)
        rc = add_operand(operands, given[i]);
    ps_names0 *names = rc || !names_from ? NULL : ps_names0_open(names_from);
    if (!rc && names_from && !names)
        return ps_error_code();
    const char *name;
    int more = names ? 1 : 0;
    while (!rc && more > 0 && (more = ps_names0_next(names, &name)) > 0)
        rc = add_operand(operands, name);
    ps_names0_close(names);
    return rc ? rc : more;
}

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

static int open_shards(const struct operands *operands, struct shards *shards)
{
    shards->list = ps_calloc(operands->count, sizeof(void *));
    if (!shards->list)
        return PS_ENOMEM;
    for (size_t i = 0; i < operands->count; i++) {
        ps_shard *shard = ps_shard_open(operands->list[i]);
        if (!shard)
            return ps_error_code();
        shards->list[shards->count++] = shard;
    }
    return PS_OK;
}

/* What would fail only once all is embedded. */
static int check_output(size_t rows, size_t dim, const struct settings *settings)
{
    if (ps_rank() > 0)
        return PS_OK;
    return ps_embedding_check_output(settings->output, (enum ps_embedding_format)settings->format,
                                     rows, dim, settings->type == 1);
}

/* Shards alone keep their ids, which the file names. */
static int embed_shards(struct ps_embedding *e, struct ps_embedder *embedder,
                        const struct operands *operands, const struct settings *settings)
{
    struct shards shards = {0};
    size_t rows = 0;
    int rc = open_shards(operands, &shards);
    for (size_t i = 0; i < shards.count && !rc; i++) {
        rows += ps_shard_count(shards.list[i]);
        rc = ps_class_names_check(shards.list[i]);
    }
    if (!rc)
        rc = check_output(rows, embedder->dim, settings);
    rc = ps_ranks_agree(rc);
    const struct ps_embed_settings how = {.threads = (int)settings->workers,
                                          .batch = (size_t)settings->batch,
                                          .label = "embedding",
                                          .resize = embedder->transform.resize,
                                          .orient = embedder->transform.orient};
    if (!rc)
        rc = ps_embed_shards(e, embedder->net, shards.list, shards.count, &how, (int)settings->raw);
    if (!rc && (rc = ps_embedding_add_meta(e, "model_id", embedder->id)))
        ps_embedding_free(e);
    close_shards(&shards);
    return ps_device_suggest(rc, (size_t)settings->batch, false);
}

static int embed_pictures(struct ps_embedding *e, struct ps_embedder *embedder,
                          const struct operands *operands, const struct settings *settings)
{
    struct ps_intake intake;
    if (ps_rank_count() > 1)
        return ps_ranks_agree(ps_fail(PS_ENOTSUP, "ranks share out shards only (man ps-pack)"));
    int rc = ps_intake_open(&intake, operands->list, operands->count, (int)settings->workers,
                            settings->quarantine);
    if (rc)
        return rc;
    rc = check_output(intake.count, embedder->dim, settings);
    if (!rc)
        rc = ps_intake_embed(&intake, e, embedder, (size_t)settings->batch);
    ps_intake_close(&intake);
    return rc;
}

/* 1, 0, or an error that is not of one file alone. */
static int all_shards(const struct operands *operands)
{
    for (size_t i = 0; i < operands->count; i++) {
        char head[64];
        size_t length = 0;
        int rc = ps_image_file_head(operands->list[i], head, sizeof head, &length);
        if (rc < 0 && !ps_is_image_fault(rc))
            return rc;
        if (!ps_is_shard_start(head, length))
            return 0;
    }
    return 1;
}

static int embed(const struct operands *operands, const struct settings *settings)
{
    const struct ps_embedder_settings how = {.model = settings->model,
                                             .raw_size = (int)settings->raw,
                                             .device = settings->device,
                                             .threads = (int)settings->threads,
                                             .precision = settings->precision,
                                             .workers = (int)settings->workers};
    struct ps_embedder embedder;
    int rc = ps_embedder_open(&embedder, &how);
    if (rc)
        return ps_device_suggest(rc, (size_t)settings->batch, false);
    if (embedder.net)
        ps_net_only_infer(embedder.net);
    struct ps_embedding e;
    rc = all_shards(operands);
    if (rc >= 0)
        rc = rc ? embed_shards(&e, &embedder, operands, settings)
                : embed_pictures(&e, &embedder, operands, settings);
    ps_embedder_close(&embedder);
    if (rc)
        return rc;
    e.half = settings->type == 1;
    if (ps_rank() == 0)
        rc = ps_embedding_save(&e, settings->output, (enum ps_embedding_format)settings->format,
                               (int)settings->level);
    ps_embedding_free(&e);
    return rc;
}

static int run(char **given, int count, const struct settings *settings)
{
    if (!settings->model == !settings->raw)
        return ps_fail(PS_EUSAGE, "give either --model FILE or --raw-pixels SIZE");
    if (!settings->output)
        return ps_fail(PS_EUSAGE, "--output is missing");
    if (!count && !settings->names)
        return ps_fail(PS_EUSAGE, "no pictures given (a shard, folder, archive, list or file)");
    struct operands operands = {0};
    int rc = ps_rank() > 0 ? PS_OK : ps_out_check(settings->output, 0);
    if (!rc)
        rc = take_operands(&operands, given, count, settings->names);
    if (!rc && !operands.count)
        rc = ps_fail(PS_EINVAL, "--files0-from %s: no names", settings->names);
    if (!rc)
        rc = embed(&operands, settings);
    for (size_t i = 0; i < operands.count; i++)
        free(operands.list[i]);
    free(operands.list);
    return rc;
}

int main(int argc, char **argv)
{
    ps_process_share_processors(argv);
    struct settings settings = {.device = "auto", .batch = 128, .workers = 4, .level = 1};
    struct ps_opt options[] = {
        PS_TEXT("model", &settings.model, "FILE", "model written by ps-train", .letter = 'm',
                .yields = "raw-pixels"),
        PS_TEXT("output", &settings.output, "FILE", "output file; - is stdout", .letter = 'o'),
        PS_TEXT("files0-from", &settings.names, "FILE",
                "also embed what FILE names, with NUL bytes between the names; - is stdin"),
        PS_TEXT("quarantine", &settings.quarantine, "FILE",
                "list unreadable pictures in FILE and embed the others"),
        PS_INT("raw-pixels", &settings.raw, 0, 1024,
               "instead of a model: embed the raw pixels, resized and cropped to SIZE x SIZE",
               .argument = "SIZE", .yields = "model"),
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
        .synopsis = "[options] -m MODEL -o FILE PICTURES...\n[options] --raw-pixels SIZE -o FILE "
                    "PICTURES...",
        .summary = "Computes the embeddings of pictures: files, folders, archives, lists and "
                   "shards, each told by its contents. The input transform is stored in the model "
                   "file.",
        .examples =
            "  ps-embed -m run/last.safetensors -o test.emb.zst test.mdb\n  ps-embed -m "
            "run/last.safetensors -o - test.mdb | ps-eval -\n"
            "  ps-embed -m run/last.safetensors -o mine.emb.zst photo.jpg photos/ more.zip\n",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int operands = 0;
    int rc = ps_ranks_open();
    if (!rc)
        rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN)
        rc = run(argv, operands, &settings);
    int status = ps_opt_finish(&command, ps_ranks_agree(rc));
    ps_ranks_close();
    return status;
}
