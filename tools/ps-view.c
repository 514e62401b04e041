/* ps-view: pictures and reports from the files of the other programs. */
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/opt.h"
#include "data/shard.h"
#include "eval/embedding.h"
#include "view/curves.h"
#include "view/histogram.h"
#include "view/map.h"
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
    int rc = need(count, 1, "curves needs the folders of runs");
    return rc ? rc : ps_curves_write(o->metric, operand, (size_t)count, o->output);
}

enum subject { NEIGHBOURS, MAP, HISTOGRAM };

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
    switch (subject) {
    case NEIGHBOURS:
        return ps_sheet_write(&sheet, embedding, shard, o->output);
    case MAP:
        return ps_map_write(embedding, shard, &map, o->output);
    default:
        return ps_histogram_write(embedding, o->output);
    }
}

static int of_embedding(const struct options *o, enum subject subject, char **operand, int count)
{
    int rc = need(count, 1, "an embedding file is needed");
    if (!rc && subject == NEIGHBOURS && !o->shard)
        rc = ps_fail(PS_EUSAGE, "neighbours needs --shard FILE, the images that were embedded");
    struct ps_embedding embedding;
    if (!rc)
        rc = ps_embedding_read(&embedding, operand[0]);
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
    int rc = need(count, 1, "say what to draw: curves, neighbours, map, histogram or report");
    if (!rc && !o->output)
        rc = ps_fail(PS_EUSAGE, "-o FILE is needed");
    if (rc)
        return rc;
    switch (ps_choice_index("curves|neighbours|map|histogram|report", operand[0])) {
    case 0:
        return curves(o, operand + 1, count - 1);
    case 1:
        return of_embedding(o, NEIGHBOURS, operand + 1, count - 1);
    case 2:
        return of_embedding(o, MAP, operand + 1, count - 1);
    case 3:
        return of_embedding(o, HISTOGRAM, operand + 1, count - 1);
    case 4:
        rc = need(count, 2, "report needs files");
        return rc ? rc : ps_report_write(o->title, operand + 1, (size_t)count - 1, o->output);
    default:
        return ps_fail(PS_EUSAGE,
                       "'%s' is not one of curves, neighbours, map, histogram and report",
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
        {.kind = PS_OPT_TEXT,
         .letter = 'o',
         .name = "output",
         .value = &o.output,
         .argument = "FILE",
         .help = "the picture (.svg, .png; neighbours: .png, .jpg) or .html"},
        {.kind = PS_OPT_TEXT,
         .name = "metric",
         .value = &o.metric,
         .argument = "NAME",
         .help = "curves: a number of log.jsonl, like loss or map@r"},
        {.kind = PS_OPT_TEXT,
         .name = "shard",
         .value = &o.shard,
         .argument = "FILE",
         .help = "neighbours, map: where the pictures are"},
        {.kind = PS_OPT_INT,
         .name = "rows",
         .value = &o.rows,
         .argument = "N",
         .help = "neighbours: how many queries",
         .least = 1,
         .most = 1000},
        {.kind = PS_OPT_INT,
         .name = "columns",
         .value = &o.columns,
         .argument = "N",
         .help = "neighbours: how many of each",
         .least = 1,
         .most = 100},
        {.kind = PS_OPT_INT,
         .name = "cell",
         .value = &o.cell,
         .argument = "PIXELS",
         .help = "neighbours: side of a picture",
         .least = 8,
         .most = 1024},
        {.kind = PS_OPT_CHOICE,
         .name = "queries",
         .value = &o.pick,
         .argument = "hardest|random",
         .help = "neighbours: which queries"},
        {.kind = PS_OPT_CHOICE,
         .name = "method",
         .value = &o.method,
         .argument = "pca|tsne",
         .help = "map: how two dimensions are made"},
        {.kind = PS_OPT_INT,
         .name = "across",
         .value = &o.across,
         .argument = "N",
         .help = "map with --shard: so many pictures side by side",
         .least = 1,
         .most = 100},
        {.kind = PS_OPT_INT,
         .name = "points",
         .value = &o.points,
         .argument = "N",
         .help = "map: at most so many images, 0 for all",
         .least = 0,
         .most = INFINITY},
        {.kind = PS_OPT_INT,
         .name = "classes",
         .value = &o.classes,
         .argument = "N",
         .help = "map: so many of the largest classes are coloured",
         .least = 0,
         .most = 7},
        {.kind = PS_OPT_REAL,
         .name = "perplexity",
         .value = &o.perplexity,
         .argument = "X",
         .help = "map: of t-SNE",
         .least = 1,
         .most = 1000},
        {.kind = PS_OPT_INT,
         .name = "steps",
         .value = &o.steps,
         .argument = "N",
         .help = "map: of t-SNE",
         .least = 10,
         .most = 100000},
        {.kind = PS_OPT_INT,
         .name = "seed",
         .value = &o.seed,
         .argument = "N",
         .help = "of what is drawn at random",
         .least = 0,
         .most = INFINITY},
        {.kind = PS_OPT_TEXT,
         .name = "title",
         .value = &o.title,
         .argument = "TEXT",
         .help = "report: its heading"},
    };
    struct ps_command command = {
        .name = "ps-view",
        .synopsis = "curves RUN... [--metric NAME] -o FILE.svg\n"
                    "neighbours EMBEDDING --shard FILE -o FILE.png\n"
                    "map EMBEDDING [--shard FILE] [--method pca|tsne] -o FILE.svg\n"
                    "histogram EMBEDDING -o FILE.svg\n"
                    "report FILE... [--title TEXT] -o FILE.html",
        .summary = "Draws training curves, queries with their nearest neighbours, maps and\n"
                   "similarities of embeddings, and binds them into one HTML file.",
        .examples = "  ps-view neighbours test.emb.zst --shard test.mdb -o hardest.png\n"
                    "  ps-view map test.emb.zst --shard test.mdb --method tsne -o map.svg\n"
                    "  ps-view curves runs/plain/seed* runs/ps/seed* -o recall.svg\n",
        .options = options,
        .option_count = sizeof options / sizeof *options};
    int operands = 0;
    ps_interrupt_install();
    int rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN)
        rc = run(&o, argv, operands);
    return ps_opt_finish(&command, rc);
}
