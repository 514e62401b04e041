/* ps-view: pictures and reports from the files of the other programs. */
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/opt.h"
#include "data/shard.h"
#include "eval/interop.h"
#include "view/curves.h"
#include "view/histogram.h"
#include "view/map.h"
#include "view/projector.h"
#include "view/report.h"
#include "view/sheet.h"

#include <math.h>

struct options {
    const char *output, *metric, *shard, *title;
    long rows, columns, cell, across, points, classes, steps, seed;
    double perplexity;
    int pick, method;
};

static int need(int operands, int wanted, const char *what)
{
    if (operands < wanted)
        return ps_fail(PS_EUSAGE, "%s (see --help)", what);
    return PS_OK;
}

static int curves(const struct options *o, char **operand, int count)
{
    int rc = need(count, 1, "curves requires run folders");
    return rc ? rc : ps_curves_write(o->metric, operand, (size_t)count, o->output);
}

#define SUBJECTS "projector|curves|neighbours|map|histogram|report"
enum subject { NEIGHBOURS, MAP, HISTOGRAM, PROJECTOR };

static int draw(const struct options *o, enum subject subject, const struct ps_embedding *embedding,
                ps_shard *shard)
{
    const struct ps_sheet sheet = {.rows = (size_t)o->rows,
                                   .columns = (size_t)o->columns,
                                   .cell = (int32_t)o->cell,
                                   .pick = (enum ps_sheet_pick)o->pick,
                                   .seed = (uint64_t)o->seed};
    const struct ps_map_settings map = {.method = (enum ps_map_method)o->method,
                                        .points = (size_t)o->points,
                                        .classes = (size_t)o->classes,
                                        .perplexity = o->perplexity,
                                        .steps = (int)o->steps,
                                        .seed = (uint64_t)o->seed,
                                        .across = (size_t)o->across};
    const struct ps_projector projector = {
        .points = (size_t)o->points, .seed = (uint64_t)o->seed, .cell = (int32_t)o->cell};
    switch (subject) {
    case NEIGHBOURS:
        return ps_sheet_write(&sheet, embedding, shard, o->output);
    case MAP:
        return ps_map_write(embedding, shard, &map, o->output);
    case PROJECTOR:
        return ps_projector_write(&projector, embedding, shard, o->output);
    default:
        return ps_histogram_write(embedding, o->output);
    }
}

static int of_embedding(const struct options *o, enum subject subject, char **operand, int count)
{
    int rc = need(count, 1, "expected an embedding file");
    if (!rc && subject == NEIGHBOURS && !o->shard)
        rc = ps_fail(PS_EUSAGE, "neighbours requires --shard FILE, the embedded shard");
    struct ps_embedding embedding;
    if (!rc)
        rc = ps_embedding_load(&embedding, operand[0], NULL);
    if (rc)
        return rc;
    ps_shard *shard = o->shard && subject != HISTOGRAM ? ps_shard_open(o->shard) : NULL;
    rc = o->shard && subject != HISTOGRAM && !shard ? (int)ps_error_code()
                                                    : draw(o, subject, &embedding, shard);
    ps_shard_close(shard);
    ps_embedding_free(&embedding);
    return rc;
}

static int run(const struct options *o, char **operand, int count)
{
    int rc = need(count, 1, "expected curves, neighbours, map, histogram, projector or report");
    if (!rc && !o->output)
        rc = ps_fail(PS_EUSAGE, "-o FILE is missing");
    if (rc)
        return rc;
    int what = ps_choice_index(SUBJECTS, operand[0]);
    if (what == 0) /* writes a folder */
        return of_embedding(o, PROJECTOR, operand + 1, count - 1);
    rc = ps_out_check(o->output, 0);
    if (rc)
        return rc;
    switch (what) {
    case 1:
        return curves(o, operand + 1, count - 1);
    case 2:
        return of_embedding(o, NEIGHBOURS, operand + 1, count - 1);
    case 3:
        return of_embedding(o, MAP, operand + 1, count - 1);
    case 4:
        return of_embedding(o, HISTOGRAM, operand + 1, count - 1);
    case 5:
        rc = need(count, 2, "report requires files");
        return rc ? rc : ps_report_write(o->title, operand + 1, (size_t)count - 1, o->output);
    default:
        return ps_fail(
            PS_EUSAGE,
            "'%s' is not one of curves, neighbours, map, histogram, projector and report",
            operand[0]);
    }
}

int main(int argc, char **argv)
{
    struct options o = {.metric = "recall@1",
                        .title = "Results",
                        .rows = 12,
                        .columns = 10,
                        .cell = 96,
                        .across = 25,
                        .points = 2000,
                        .classes = 7,
                        .steps = 500,
                        .seed = 1,
                        .perplexity = 30};
    struct ps_opt options[] = {
        PS_TEXT("output", &o.output, "FILE",
                "output: .svg, .png; also .pdf of plots, .jpg of pictures; report: .html; "
                "projector: a folder",
                .letter = 'o'),
        PS_TEXT("metric", &o.metric, "NAME", "curves: a value in log.jsonl, such as loss or map@r"),
        PS_TEXT("shard", &o.shard, "FILE", "neighbours, map, projector: the embedded shard"),
        PS_INT("rows", &o.rows, 1, 1000, "neighbours: number of queries"),
        PS_INT("columns", &o.columns, 1, 100, "neighbours: neighbours per query"),
        PS_INT("cell", &o.cell, 8, 1024, "neighbours, projector: image size", .argument = "PIXELS"),
        PS_CHOICE("queries", &o.pick, "hardest|random", "neighbours: choice of queries"),
        PS_CHOICE("method", &o.method, "pca|tsne", "map: projection"),
        PS_INT("across", &o.across, 1, 100, "map with --shard: images per row"),
        PS_INT("points", &o.points, 0, INFINITY, "map, projector: at most N images; 0: all"),
        PS_INT("classes", &o.classes, 0, 7, "map: colour the N largest classes"),
        PS_REAL("perplexity", &o.perplexity, 1, 1000, "map: t-SNE perplexity"),
        PS_INT("steps", &o.steps, 10, 100000, "map: t-SNE iterations"),
        PS_INT("seed", &o.seed, 0, INFINITY, "random seed"),
        PS_TEXT("title", &o.title, "TEXT", "report: title"),
    };
    struct ps_command command = {
        .name = "ps-view",
        .synopsis =
            "curves RUN... [--metric NAME] -o FILE.svg\nneighbours EMBEDDING --shard FILE -o "
            "FILE.png\nmap EMBEDDING [--shard FILE] [--method pca|tsne] -o FILE.svg\nhistogram "
            "EMBEDDING -o FILE.svg\nprojector EMBEDDING [--shard FILE] -o FOLDER\nreport FILE... "
            "[--title TEXT] -o FILE.html",
        .summary =
            "Plots training curves, nearest neighbours of queries, maps and similarities "
            "of embeddings, and combines them into one HTML report; writes what TensorBoard's "
            "projector reads.",
        .examples = "  ps-view neighbours test.emb.zst --shard test.mdb -o hardest.svg\n  ps-view "
                    "map test.emb.zst --shard test.mdb --method tsne -o map.svg\n  ps-view curves "
                    "runs/plain/seed* runs/ps/seed* -o recall.svg\n",
        .choices = SUBJECTS,
        .options = options,
        .option_count = sizeof options / sizeof *options};
    int operands = 0;
    int rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN)
        rc = run(&o, argv, operands);
    return ps_opt_finish(&command, rc);
}
