#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/opt.h"
#include "eval/runs.h"

enum { MARKDOWN, TSV, LATEX };

struct tool {
    const char *output, *by, *metrics, *against;
    int format, layout, unit;
    long digits;
};

static int write_table(const struct tool *tool, const struct ps_results *table)
{
    ps_out *out = ps_out_open(tool->output);
    if (!out)
        return ps_error_code();
    FILE *stream = ps_out_stream(out);
    int rc = tool->format == TSV     ? ps_results_write_tsv(table, stream)
             : tool->format == LATEX ? ps_results_write_latex(table, stream)
                                     : ps_results_write_markdown(table, stream);
    return rc ? ps_out_abort(out) : ps_out_commit(out);
}

static int run(const struct tool *tool, char **files, int count)
{
    const struct ps_runs_style style = {.layout = (enum ps_runs_layout)tool->layout,
                                        .plain = tool->format == TSV,
                                        .against = tool->against,
                                        .scale = tool->unit ? 1 : 100,
                                        .digits = (int)tool->digits};
    if (tool->against && style.layout == PS_RUNS_SUMMARY)
        return ps_fail(PS_EUSAGE, "--compare goes with --layout runs");
    struct ps_runs runs;
    struct ps_results table = {0};
    int rc = ps_runs_read(&runs, files, (size_t)count, tool->by, tool->metrics);
    if (rc)
        return rc;
    rc = ps_runs_table(&table, &runs, &style);
    ps_runs_free(&runs);
    if (!rc)
        rc = write_table(tool, &table);
    ps_results_free(&table);
    return rc;
}

int main(int argc, char **argv)
{
    struct tool t = {.output = "-", .by = "setting", .digits = 2};
    struct ps_opt options[] = {
        {.kind = PS_OPT_TEXT,
         .letter = 'o',
         .name = "output",
         .value = &t.output,
         .argument = "FILE",
         .help = "where the table goes"},
        {.kind = PS_OPT_CHOICE,
         .letter = 'f',
         .name = "format",
         .value = &t.format,
         .argument = "markdown|tsv|latex",
         .help = "of the table"},
        {.kind = PS_OPT_CHOICE,
         .name = "layout",
         .value = &t.layout,
         .argument = "runs|summary",
         .help = "a row for each setting and metric with its runs as columns, or a row for each "
                 "setting with means only"},
        {.kind = PS_OPT_TEXT,
         .name = "compare",
         .value = &t.against,
         .argument = "SETTING",
         .help = "paired differences of the others from SETTING, over the seeds both have"},
        {.kind = PS_OPT_TEXT,
         .name = "by",
         .value = &t.by,
         .argument = "COLUMNS",
         .help = "the columns that make up a setting, such as setting,dim"},
        {.kind = PS_OPT_TEXT,
         .name = "metrics",
         .value = &t.metrics,
         .argument = "COLUMNS",
         .help = "such as recall@1,rp,map@r; without it, all there are"},
        {.kind = PS_OPT_CHOICE,
         .name = "unit",
         .value = &t.unit,
         .argument = "percent|fraction",
         .help = "of the numbers"},
        {.kind = PS_OPT_INT,
         .name = "digits",
         .value = &t.digits,
         .argument = "N",
         .help = "behind the point",
         .most = 12},
    };
    struct ps_command command = {
        .name = "ps-table",
        .synopsis = "[options] TABLE...",
        .summary = "Statistics over the runs of each setting, from tables that ps-eval wrote with\n"
                   "--tag setting=NAME,seed=N.",
        .examples = "  ps-table runs/*/*/test.tsv\n"
                    "  ps-table --compare plain --metrics recall@1,map@r runs/*/*/test.tsv\n"
                    "  ps-table --layout summary --format latex runs/*/*/test.tsv\n",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int operands, rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN)
        rc = operands ? run(&t, argv, operands) : ps_fail(PS_EUSAGE, "no result table given");
    return ps_opt_finish(&command, rc);
}
