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
        return ps_fail(PS_EUSAGE, "--compare requires --layout runs");
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
        PS_TEXT("output", &t.output, "FILE", "output file; - is stdout", .letter = 'o'),
        PS_CHOICE("format", &t.format, "markdown|tsv|latex", "output format", .letter = 'f'),
        PS_CHOICE("layout", &t.layout, "runs|summary",
                  "one row per setting and metric with the runs as columns, or one row per setting "
                  "with means"),
        PS_TEXT("compare", &t.against, "SETTING",
                "paired differences from SETTING over the seeds in common"),
        PS_TEXT("by", &t.by, "COLUMNS", "columns that identify a setting, such as setting,dim"),
        PS_TEXT("metrics", &t.metrics, "COLUMNS",
                "metrics, such as recall@1,rp,map@r; default: all"),
        PS_CHOICE("unit", &t.unit, "percent|fraction", "unit of the numbers"),
        PS_INT("digits", &t.digits, 0, 12, "decimals"),
    };
    struct ps_command command = {
        .name = "ps-table",
        .synopsis = "[options] TABLE...",
        .summary = "Statistics over the runs of each setting, from tables written by ps-eval "
                   "with --tag setting=NAME,seed=N.",
        .examples =
            "  ps-table runs/*/*/test.tsv\n  ps-table --compare plain --metrics recall@1,map@r "
            "runs/*/*/test.tsv\n  ps-table --layout summary --format latex runs/*/*/test.tsv\n",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int operands, rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN)
        rc = operands ? run(&t, argv, operands) : ps_fail(PS_EUSAGE, "no result table given");
    return ps_opt_finish(&command, rc);
}
