#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/opt.h"
#include "data/shard.h"
#include "eval/embedding.h"
#include "eval/metrics.h"
#include "eval/results.h"

#include <stdlib.h>
#include <string.h>

struct settings {
    const char *output, *recall;
    bool json, percent;
    long threads;
    long *k;
    size_t k_count;
};

static int add_metrics(struct ps_results *results, const struct ps_retrieval *r,
                       const struct settings *settings)
{
    double scale = settings->percent ? 100 : 1;
    int rc = PS_OK;
    char name[40];
    for (size_t i = 0; i < settings->k_count && !rc; i++) {
        snprintf(name, sizeof name, "recall@%ld", settings->k[i]);
        rc = ps_results_real(results, name, scale * r->recall[i]);
    }
    if (!rc)
        rc = ps_results_real(results, "rp", scale * r->rp);
    if (!rc)
        rc = ps_results_real(results, "map@r", scale * r->map_at_r);
    if (!rc)
        rc = ps_results_count(results, "queries", r->queries);
    if (!rc)
        rc = ps_results_count(results, "lone", r->lone);
    return rc;
}

static int evaluate(struct ps_results *results, const char *path, const struct settings *settings)
{
    struct ps_embedding e;
    int rc = ps_embedding_read(&e, path);
    if (rc)
        return rc;
    struct ps_retrieval retrieval;
    const struct ps_retrieval_settings how = {.k = settings->k,
                                              .k_count = settings->k_count,
                                              .threads = (int)settings->threads,
                                              .name = e.file};
    rc = ps_retrieval_self(&retrieval, e.x, e.label, e.n, e.dim, &how);
    if (!rc) {
        rc = ps_results_text(results, "file", e.file);
        if (!rc)
            rc = add_metrics(results, &retrieval, settings);
        ps_retrieval_free(&retrieval);
    }
    ps_embedding_free(&e);
    return rc;
}

static int write_results(const struct ps_results *results, const struct settings *settings)
{
    ps_out *out = ps_out_open(settings->output);
    if (!out)
        return ps_error_code();
    int rc = settings->json ? ps_results_write_json(results, ps_out_stream(out))
                            : ps_results_write_tsv(results, ps_out_stream(out));
    return rc ? ps_out_abort(out) : ps_out_commit(out);
}

static int run(char **files, int count, struct settings *settings)
{
    int rc = ps_parse_longs("--recall", settings->recall, 1, &settings->k, &settings->k_count);
    struct ps_results results = {0};
    for (int i = 0; i < count && !rc; i++)
        rc = evaluate(&results, files[i], settings);
    if (!rc)
        rc = write_results(&results, settings);
    ps_results_free(&results);
    free(settings->k);
    return rc;
}

int main(int argc, char **argv)
{
    struct settings settings = {.output = "-", .recall = "1,2,4,8"};
    struct ps_opt options[] = {
        {.kind = PS_OPT_TEXT,
         .letter = 'o',
         .name = "output",
         .value = &settings.output,
         .argument = "FILE",
         .help = "where the table goes"},
        {.kind = PS_OPT_FLAG,
         .name = "json",
         .value = &settings.json,
         .help = "JSON lines instead of a table"},
        {.kind = PS_OPT_FLAG,
         .name = "percent",
         .value = &settings.percent,
         .help = "percent instead of fractions"},
        {.kind = PS_OPT_TEXT,
         .name = "recall",
         .value = &settings.recall,
         .argument = "LIST",
         .help = "the K of recall@K"},
        {.kind = PS_OPT_INT,
         .letter = 'j',
         .name = "threads",
         .value = &settings.threads,
         .argument = "N",
         .help = "threads; 0: all processors",
         .most = 4096},
    };
    struct ps_command command = {
        .name = "ps-eval",
        .synopsis = "[options] FILE...",
        .summary = "Retrieval metrics of embedding files (.emb.zst or .safetensors, - for stdin).",
        .examples = "  ps-eval test.emb.zst\n"
                    "  ps-embed -m best.safetensors -o - test.mdb | ps-eval -\n",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int operands, rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN) {
        ps_interrupt_install();
        rc = operands ? run(argv, operands, &settings)
                      : ps_fail(PS_EUSAGE, "no embedding file given");
    } else if (rc == PS_OPT_DONE) {
        rc = PS_OK;
    }
    if (!rc)
        rc = ps_stdout_close();
    if (rc)
        ps_log_error();
    ps_opt_free(&command);
    return ps_exit_status(rc);
}
