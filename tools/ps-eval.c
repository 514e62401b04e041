#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/ranks.h"
#include "eval/inputs.h"
#include "eval/measure.h"
#include "net/device.h"
#include "weights/safetensors.h"

#include <stdlib.h>
#include <string.h>

struct tool {
    const char *output, *recall, *metrics, *dims, *gallery, *pca, *device;
    bool json, percent, whiten, per_class;
    int ensemble, resample;
    long threads, bootstrap, seed;
    struct ps_measures how;
    long *k, *dim;
    struct ps_text tags;
    const char **tag;
    struct ps_embedding gallery_embedding;
    struct ps_inputs inputs;
    struct ps_results results;
};

/* "setting=PS,seed=1" */
static int parse_tags(struct tool *tool)
{
    tool->tag = ps_calloc(tool->tags.length + 2, sizeof *tool->tag);
    if (!tool->tag)
        return PS_ENOMEM;
    char *rest = tool->tags.data;
    for (char *pair; (pair = strsep(&rest, ","));) {
        char *equals = strchr(pair, '=');
        if (!equals || equals == pair)
            return ps_fail(PS_EUSAGE, "--tag: '%s' is not NAME=VALUE", pair);
        *equals = '\0';
        tool->tag[2 * tool->how.tag_count] = pair;
        tool->tag[2 * tool->how.tag_count++ + 1] = equals + 1;
    }
    tool->how.tags = tool->tag;
    return PS_OK;
}

static int parse_lists(struct tool *tool)
{
    struct ps_measures *how = &tool->how;
    int rc = ps_parse_longs("--k-list", tool->recall, 1, &tool->k, &how->k_count);
    for (size_t i = 1; i < how->k_count && !rc; i++)
        if (tool->k[i] <= tool->k[i - 1])
            rc = ps_fail(PS_EUSAGE, "--k-list: '%s' is not ascending", tool->recall);
    if (!rc && tool->dims)
        rc = ps_parse_longs("--dims", tool->dims, 1, &tool->dim, &how->dim_count);
    if (!rc)
        rc = ps_metrics_parse(how->metric, "--metrics", tool->metrics);
    if (!rc && tool->tags.length)
        rc = parse_tags(tool);
    if (!rc && tool->whiten && !tool->pca)
        rc = ps_fail(PS_EUSAGE, "--whiten requires --pca FILE");
    tool->inputs.together = (enum ps_together)tool->ensemble;
    how->k = tool->k;
    how->dims = tool->dim;
    how->bootstrap = (size_t)tool->bootstrap;
    how->over_classes = tool->resample == 1;
    how->per_class = tool->per_class;
    how->provenance = tool->json;
    how->scale = tool->percent ? 100 : 1;
    how->seed = (uint64_t)tool->seed;
    how->threads = (int)tool->threads;
    return rc;
}

/* As many components as the largest of --dims asks for. */
static int fit(struct tool *tool)
{
    size_t dim = 0;
    for (size_t i = 0; i < tool->how.dim_count; i++)
        if ((size_t)tool->how.dims[i] > dim)
            dim = (size_t)tool->how.dims[i];
    tool->inputs.whitening = ps_inputs_fit(tool->pca, dim, tool->whiten);
    return tool->inputs.whitening ? PS_OK : (int)ps_error_code();
}

static int note(struct tool *tool, const struct ps_embedding *e)
{
    const char *shard = ps_embedding_meta(e, "shard_id"), *model = ps_embedding_meta(e, "model_id");
    char *text =
        ps_asprintf("%s shard_id=%s model_id=%s", e->file, shard ? shard : "", model ? model : "");
    int rc = text ? PS_OK : PS_ENOMEM;
    if (!rc && (shard || model))
        rc = ps_results_note(&tool->results, "embedding", text);
    free(text);
    return rc;
}

static int evaluate(void *context, const struct ps_embedding *e)
{
    struct tool *tool = context;
    int rc = note(tool, e);
    return rc ? rc
              : ps_measure(&tool->results, e, tool->gallery ? &tool->gallery_embedding : NULL,
                           &tool->how);
}

static int write_results(struct tool *tool)
{
    ps_out *out = ps_out_open(tool->output);
    if (!out)
        return ps_error_code();
    int rc = tool->json ? ps_results_write_json(&tool->results, ps_out_stream(out))
                        : ps_results_write_tsv(&tool->results, ps_out_stream(out));
    return rc ? ps_out_abort(out) : ps_out_commit(out);
}

/* What would fail only once all is measured. */
static int check_output(const struct tool *tool, char **files, int count)
{
    int rc = ps_out_check(tool->output, 0);
    for (int i = 0; tool->json && i < count && !rc; i++)
        rc = ps_safetensors_check_text("the name", files[i]);
    for (size_t i = 0; tool->json && i < 2 * tool->how.tag_count && !rc; i++)
        rc = ps_safetensors_check_text("--tag:", tool->tag[i]);
    return rc;
}

/* "cpu" is what the library computes on anyway. */
static int open_device(struct tool *tool)
{
    if (!strcmp(tool->device, "cpu"))
        return PS_OK;
    tool->how.backend =
        ps_device_open(tool->device, &(struct ps_backend_config){.threads = (int)tool->threads});
    return tool->how.backend ? PS_OK : (int)ps_error_code();
}

/* What ranks cannot share. */
static int check_shared(const struct tool *tool, char **files, int count)
{
    if (ps_rank_count() == 1)
        return PS_OK;
    if (strcmp(tool->device, "cpu") != 0)
        return ps_fail(PS_ENOTSUP, "--device %s: ranks search on cpu", tool->device);
    for (int i = 0; i < count; i++)
        if (!strcmp(files[i], "-"))
            return ps_fail(PS_ENOTSUP, "ranks cannot share standard input");
    return PS_OK;
}

static int run(struct tool *tool, char **files, int count)
{
    int rc = parse_lists(tool);
    if (!rc)
        rc = check_shared(tool, files, count);
    if (!rc && ps_rank() == 0)
        rc = check_output(tool, files, count);
    if (!rc)
        rc = open_device(tool);
    if (!rc && tool->pca)
        rc = fit(tool);
    if (!rc && tool->gallery) {
        rc = ps_inputs_load(&tool->inputs, &tool->gallery_embedding, tool->gallery, NULL);
        tool->inputs.gallery = &tool->gallery_embedding;
    }
    if (!rc && tool->percent)
        rc = ps_results_note(&tool->results, "unit", "percent");
    if (!rc)
        rc = ps_inputs_visit(&tool->inputs, files, (size_t)count, evaluate, tool);
    ps_backend *be = tool->how.backend;
    if (rc == PS_ENOMEM && be && be->ops->out_of_memory && be->ops->out_of_memory(be))
        ps_fail(PS_ENOMEM, "%s (use --device cpu)", ps_error());
    return rc || ps_rank() > 0 ? rc : write_results(tool);
}

static void release(struct tool *tool)
{
    ps_embedding_free(&tool->gallery_embedding);
    ps_whitening_free(tool->inputs.whitening);
    ps_results_free(&tool->results);
    ps_device_close(tool->how.backend);
    free(tool->k);
    free(tool->dim);
    ps_text_free(&tool->tags);
    free(tool->tag);
}

int main(int argc, char **argv)
{
    struct tool t = {.output = "-",
                     .recall = "1,2,4,8",
                     .metrics = "recall,rp,map@r",
                     .device = "cpu",
                     .seed = 1};
    struct ps_opt options[] = {
        PS_SECTION("Metrics"),
        PS_TEXT("k-list", &t.recall, "LIST", "values of K for recall@K and precision@K",
                .aliases = "recall"),
        PS_TEXT("metrics", &t.metrics, "LIST",
                "any of recall, rp, map@r, precision, map, nmi, ami; or all (the last three are "
                "slower)"),
        PS_TEXT("dims", &t.dims, "LIST", "evaluate only the first D dimensions, one row per D"),
        PS_FLAG("per-class", &t.per_class, "one row per class instead of the means"),
        PS_INT("bootstrap", &t.bootstrap, 0, 1e7,
               "95 % confidence intervals from N bootstrap resamples"),
        PS_CHOICE("resample", &t.resample, "queries|classes", "resampling unit of the bootstrap"),
        PS_TEXT("index", &t.how.index, "FACTORY",
                "add a row for an approximate FAISS index, such as HNSW32"),
        PS_SECTION("Input"),
        PS_TEXT("gallery", &t.gallery, "FILE", "search in FILE instead of the queries themselves"),
        PS_TEXT("labels", &t.inputs.labels, "FILE",
                "labels (.npy or .tsv) instead of those in the embedding file"),
        PS_CHOICE("ensemble", &t.ensemble, ps_together_words,
                  "combine several files: concatenate rows, or average or join the embeddings of "
                  "the same items"),
        PS_TEXT("pca", &t.pca, "FILE", "project on the principal components of FILE"),
        PS_FLAG("whiten", &t.whiten, "scale each component to unit variance"),
        PS_SECTION("Output"),
        PS_TEXT("output", &t.output, "FILE", "output file; - is stdout", .letter = 'o'),
        PS_FLAG("json", &t.json, "JSON lines instead of a table"),
        PS_FLAG("percent", &t.percent, "percentages instead of fractions"),
        PS_LIST("tag", &t.tags, "NAME=VALUE",
                "add a leading column, such as setting=PS; repeat, or separate by commas"),
        PS_SECTION("Running"),
        PS_INT("seed", &t.seed, 0, 1e15, "random seed of bootstrap and k-means"),
        PS_INT("threads", &t.threads, 0, 4096, "compute threads; 0: all processors"),
        PS_TEXT("device", &t.device, "NAME", "device that searches: cpu, auto, cuda or cuda:N"),
    };
    struct ps_command command = {
        .name = "ps-eval",
        .synopsis = "[options] FILE...",
        .summary = "Retrieval metrics of embedding files: .emb.zst, .safetensors, .npy "
                   "with --labels, .tsv; - is standard input. Prints one table, one row per file.",
        .examples = "  ps-eval test.emb.zst\n  ps-eval --metrics all --bootstrap 1000 --resample "
                    "classes test.emb.zst\n  ps-eval --gallery gallery.emb.zst query.emb.zst\n",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int operands, rc = ps_ranks_open();
    if (!rc)
        rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN)
        rc = operands ? run(&t, argv, operands) : ps_fail(PS_EUSAGE, "no embedding file given");
    release(&t);
    int status = ps_opt_finish(&command, ps_ranks_agree(rc));
    ps_ranks_close();
    return status;
}
