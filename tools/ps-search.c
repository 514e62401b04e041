/* ps-search: the nearest neighbours of embeddings and pictures, and indexes to find them in. */
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/process.h"
#include "net/device.h"
#include "search/build.h"
#include "search/search.h"

#include <string.h>

struct tool {
    const char *gallery, *index, *parameters, *build, *factory;
    const char *model, *names, *quarantine, *output, *sheet, *shard, *device;
    long k, check, threads;
    double min_score;
    int self, precision;
    bool json, vote;
};

enum { KEEP, DROP };

static int write_results(const struct tool *tool, const struct ps_results *results)
{
    ps_out *out = ps_out_open(tool->output);
    if (!out)
        return ps_error_code();
    int rc = tool->json ? ps_results_write_json(results, ps_out_stream(out))
                        : ps_results_write_tsv(results, ps_out_stream(out));
    return rc ? ps_out_abort(out) : ps_out_commit(out);
}

static int measure(const struct tool *tool, ps_index *index, const struct ps_gallery *gallery,
                   const char *name)
{
    struct ps_results results = {0};
    int rc = ps_index_measure(&results, name, index, gallery, (size_t)tool->check, (size_t)tool->k);
    if (!rc)
        rc = write_results(tool, &results);
    ps_results_free(&results);
    return rc;
}

/* --build, from a file of embeddings. */
static int build(const struct tool *tool, const char *path)
{
    const struct ps_gallery_source source = {.embeddings = path, .threads = (int)tool->threads};
    struct ps_gallery gallery;
    int rc = ps_out_check(tool->build, 0);
    if (!rc)
        rc = ps_gallery_open(&gallery, &source);
    if (rc)
        return rc;
    ps_index *index = ps_index_build(tool->factory, ps_neighbours_row(gallery.neighbours, 0),
                                     gallery.rows.n, gallery.rows.dim, source.threads);
    rc = index ? ps_index_save(index, &gallery, tool->build) : (int)ps_error_code();
    if (!rc)
        ps_info("%s: %s of %zu rows, %zu dimensions", tool->build, tool->factory, gallery.rows.n,
                gallery.rows.dim);
    if (!rc && tool->check)
        rc = measure(tool, index, &gallery, tool->build);
    ps_index_free(index);
    ps_gallery_close(&gallery);
    return rc;
}

/* --check of an index that there is. */
static int check(const struct tool *tool)
{
    const struct ps_gallery_source exact = {.embeddings = tool->gallery,
                                            .threads = (int)tool->threads},
                                   indexed = {.embeddings = tool->gallery,
                                              .index = tool->index,
                                              .parameters = tool->parameters};
    struct ps_gallery gallery, through;
    int rc = ps_gallery_open(&gallery, &exact);
    if (rc)
        return rc;
    rc = ps_gallery_open(&through, &indexed);
    if (!rc) {
        rc = measure(tool, through.index, &gallery, tool->index);
        ps_gallery_close(&through);
    }
    ps_gallery_close(&gallery);
    return rc;
}

static int search_operands(const struct tool *tool, const struct ps_search *search,
                           struct ps_embedder *embedder, char **operands, int count)
{
    int rc = PS_OK;
    for (int i = 0; i < count && !rc && !tool->model; i++)
        rc = ps_search_embeddings(search, operands[i]);
    if (!tool->model)
        return rc;
    ps_names0 *names = tool->names ? ps_names0_open(tool->names) : NULL;
    ps_feed *feed =
        tool->names && !names ? NULL : ps_feed_open(operands, (size_t)count, names, true);
    rc = feed ? ps_search_pictures(search, feed, embedder, tool->quarantine) : (int)ps_error_code();
    ps_feed_close(feed);
    ps_names0_close(names);
    return rc;
}

/* Answers to the output, and to the page where there is one. */
static int answer(const struct tool *tool, const struct ps_gallery *gallery,
                  struct ps_embedder *embedder, char **operands, int count)
{
    struct ps_search search = {.gallery = gallery,
                               .k = (size_t)tool->k,
                               .min_score = tool->min_score,
                               .drop_self = tool->self == DROP,
                               .style = {.json = tool->json, .vote = tool->vote}};
    ps_shard *shard = tool->shard ? ps_shard_open(tool->shard) : NULL;
    int rc = tool->shard && !shard ? (int)ps_error_code() : PS_OK;
    if (!rc && tool->sheet && !(search.page = ps_page_open(tool->sheet, gallery, shard)))
        rc = ps_error_code();
    ps_out *out = rc ? NULL : ps_out_open(tool->output);
    if (!rc && !out)
        rc = ps_error_code();
    if (!rc) {
        search.stream = ps_out_stream(out);
        rc = ps_answer_begin(&search.style, gallery, search.stream);
        if (!rc)
            rc = search_operands(tool, &search, embedder, operands, count);
        rc = rc ? ps_out_abort(out) : ps_out_commit(out);
    }
    rc = ps_page_close(search.page, rc);
    ps_shard_close(shard);
    return rc;
}

static int search_with(const struct tool *tool, ps_backend *backend, struct ps_embedder *embedder,
                       char **operands, int count)
{
    const struct ps_gallery_source source = {.embeddings = tool->gallery,
                                             .index = tool->index,
                                             .parameters = tool->parameters,
                                             .backend = backend,
                                             .threads = (int)tool->threads};
    struct ps_gallery gallery;
    int rc = ps_gallery_open(&gallery, &source);
    if (rc)
        return rc;
    if (tool->model)
        rc = ps_gallery_fits(&gallery, tool->model, embedder->id, embedder->dim);
    if (!rc)
        rc = answer(tool, &gallery, embedder, operands, count);
    ps_gallery_close(&gallery);
    return rc;
}

/* Embeddings; "cpu" is what the library computes on anyway. */
static int search_on(const struct tool *tool, char **operands, int count)
{
    if (!tool->device || !strcmp(tool->device, "cpu"))
        return search_with(tool, NULL, NULL, operands, count);
    struct ps_backend_config config = {.threads = (int)tool->threads};
    ps_backend *backend = ps_device_open(tool->device, &config);
    int rc = backend ? search_with(tool, backend, NULL, operands, count) : (int)ps_error_code();
    ps_device_close(backend);
    return rc;
}

static int search(const struct tool *tool, char **operands, int count)
{
    if (!tool->model)
        return search_on(tool, operands, count);
    const struct ps_embedder_settings settings = {.model = tool->model,
                                                  .device = tool->device ? tool->device : "auto",
                                                  .threads = (int)tool->threads,
                                                  .precision = tool->precision,
                                                  .workers = 1};
    struct ps_embedder embedder;
    int rc = ps_embedder_open(&embedder, &settings);
    if (rc)
        return rc;
    ps_net_only_infer(embedder.net);
    rc = search_with(tool, embedder.backend, &embedder, operands, count);
    ps_embedder_close(&embedder);
    return rc;
}

static int check_usage(const struct tool *tool, int count)
{
    if (tool->build)
        return count == 1 && !tool->gallery && !tool->index
                   ? PS_OK
                   : ps_fail(PS_EUSAGE, "--build takes one file of embeddings, and no other");
    if (tool->check)
        return tool->index && tool->gallery && !count && !tool->names
                   ? PS_OK
                   : ps_fail(PS_EUSAGE, "--check requires --build, or --index and --gallery, and "
                                        "draws the queries from the gallery");
    if (!tool->gallery && !tool->index)
        return ps_fail(PS_EUSAGE, "give --gallery FILE, --index FILE or both");
    if (!tool->index && tool->parameters)
        return ps_fail(PS_EUSAGE, "--parameters requires --index FILE");
    if (!tool->model && (tool->names || tool->quarantine))
        return ps_fail(PS_EUSAGE, "--%s requires --model FILE, which embeds pictures",
                       tool->names ? "files0-from" : "quarantine");
    if (tool->model && tool->self == DROP)
        return ps_fail(PS_EUSAGE, "--self drop is for embeddings: pictures have no ids");
    if (!tool->sheet && tool->shard)
        return ps_fail(PS_EUSAGE, "--shard requires --sheet FILE, which shows its pictures");
    if (!count && !tool->names)
        return ps_fail(PS_EUSAGE, tool->model ? "no pictures given" : "no embedding file given");
    return PS_OK;
}

static int run(const struct tool *tool, char **operands, int count)
{
    int rc = check_usage(tool, count);
    if (!rc)
        rc = ps_out_check(tool->output, 0);
    if (!rc && tool->sheet)
        rc = ps_out_check(tool->sheet, 0);
    if (rc)
        return rc;
    if (tool->build)
        return build(tool, operands[0]);
    return tool->check ? check(tool) : search(tool, operands, count);
}

int main(int argc, char **argv)
{
    ps_process_share_processors(argv);
    struct tool t = {
        .factory = "HNSW32", .output = "-", .device = "auto", .k = 10, .min_score = -1};
    struct ps_opt options[] = {
        PS_SECTION("Gallery"),
        PS_TEXT("gallery", &t.gallery, "FILE", "search in these embeddings"),
        PS_TEXT("index", &t.index, "FILE",
                "search through an index; with --gallery, its embeddings give the order"),
        PS_TEXT("parameters", &t.parameters, "LIST",
                "search parameters of the index, such as nprobe=16 or efSearch=64"),
        PS_SECTION("Queries"),
        PS_TEXT("model", &t.model, "FILE", "embed pictures with this model", .letter = 'm'),
        PS_TEXT("files0-from", &t.names, "FILE",
                "also search for the pictures that FILE names, with NUL bytes between the names; "
                "- is stdin"),
        PS_TEXT("quarantine", &t.quarantine, "FILE",
                "list unreadable pictures in FILE, and succeed"),
        PS_SECTION("Neighbours"),
        PS_INT("neighbours", &t.k, 1, 1e6, "neighbours of a query", .letter = 'k'),
        PS_REAL("min-score", &t.min_score, -1, 1, "leave out neighbours of lower similarity"),
        PS_CHOICE("self", &t.self, "keep|drop", "keep or drop the neighbour with the query's id"),
        PS_FLAG("vote", &t.vote, "the class that the neighbours vote for, not the neighbours"),
        PS_SECTION("Output"),
        PS_TEXT("output", &t.output, "FILE", "output file; - is stdout", .letter = 'o'),
        PS_FLAG("json", &t.json, "JSON lines instead of a table"),
        PS_TEXT("sheet", &t.sheet, "FILE", "also write an HTML page with the pictures"),
        PS_TEXT("shard", &t.shard, "FILE", "the embedded shard, for the pictures of the page"),
        PS_SECTION("Indexes"),
        PS_TEXT("build", &t.build, "FILE", "write an index, and FILE.tsv, instead of searching"),
        PS_TEXT("factory", &t.factory, "TEXT", "its kind, in FAISS's terms"),
        PS_INT("check", &t.check, 0, 1e9,
               "measure the recall of the index against exact search, with N queries"),
        PS_SECTION("Running"),
        PS_TEXT("device", &t.device, "NAME",
                "auto (default with a model), cpu (without), cuda or cuda:N"),
        PS_INT("threads", &t.threads, 0, 4096, "compute threads; 0: all processors"),
        PS_CHOICE("precision", &t.precision, PS_PRECISION_NAMES,
                  "precision of the network; tf32 and bf16 need AMX or a GPU, fp16 a GPU"),
    };
    struct ps_command command = {
        .name = "ps-search",
        .synopsis = "[options] --gallery FILE EMBEDDINGS...\n[options] --gallery FILE -m MODEL "
                    "PICTURES...\n[options] --build INDEX [--factory TEXT] EMBEDDINGS",
        .summary = "Prints the nearest neighbours of embeddings, or of pictures, in a gallery of "
                   "embeddings: exactly, or through an index that it builds.",
        .examples = "  ps-search --gallery gallery.emb.zst query.emb.zst\n  ps-search --gallery "
                    "gallery.emb.zst -m run/last.safetensors photo.jpg\n  ps-search --build "
                    "gallery.faiss --check 1000 gallery.emb.zst\n",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int operands, rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN)
        rc = run(&t, argv, operands);
    return ps_opt_finish(&command, rc);
}
