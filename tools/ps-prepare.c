/* ps-prepare: lists the images of a raw data set in a manifest. */
#include "base/err.h"
#include "base/hash.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/opt.h"
#include "data/check.h"
#include "data/dataset.h"

#include <stdio.h>
#include <string.h>

struct settings {
    const char *output, *match;
    bool summary, allow_missing, boxes, verify;
    double test_classes;
    long seed, min_images, threads;
};

static int print_summary(struct ps_manifest *manifest)
{
    struct ps_split_summary summary[PS_SPLITS];
    int rc = ps_manifest_summary(manifest, summary);
    if (rc)
        return rc;
    printf("split\tclasses\timages\tmin\tmedian\tmax\n");
    for (int i = 0; i < PS_SPLITS; i++)
        if (summary[i].images)
            printf("%s\t%zu\t%zu\t%zu\t%zu\t%zu\n", ps_split_names[i], summary[i].classes,
                   summary[i].images, summary[i].least, summary[i].median, summary[i].most);
    return PS_OK;
}

static int summarise(const char *path)
{
    struct ps_manifest manifest;
    struct ps_hash id;
    int rc = ps_hash_file(path, &id);
    if (!rc)
        rc = ps_manifest_read(&manifest, NULL, path);
    if (rc)
        return rc;
    printf("# id: %s\n", id.hex);
    rc = print_summary(&manifest);
    ps_manifest_free(&manifest);
    return rc;
}

static void log_summary(struct ps_manifest *manifest, const char *output)
{
    struct ps_split_summary summary[PS_SPLITS];
    if (ps_manifest_summary(manifest, summary))
        return;
    for (int i = 0; i < PS_SPLITS; i++)
        if (summary[i].images)
            ps_info("%s: %s: %zu images in %zu classes",
                    strcmp(output, "-") ? output : "standard output", ps_split_names[i],
                    summary[i].images, summary[i].classes);
}

/* What decides the manifest beside the data, for its `settings` line. */
static int describe(const struct settings *settings, const struct ps_prepare_options *options,
                    struct ps_text *text)
{
    int rc = ps_text_add(text, "", 0);
    if (!rc && settings->match)
        rc = ps_text_printf(text, " match=%s", settings->match);
    if (!rc && options->test_classes > 0)
        rc = ps_text_printf(text, " test-classes=%g", options->test_classes);
    if (!rc && options->shuffle)
        rc = ps_text_printf(text, " seed=%ld", settings->seed);
    if (!rc && options->min_images > 1)
        rc = ps_text_printf(text, " min-images=%zu", options->min_images);
    if (!rc && options->allow_missing)
        rc = ps_text_printf(text, " allow-missing");
    if (!rc && !options->boxes)
        rc = ps_text_printf(text, " no-boxes");
    return rc;
}

static int prepare(const struct settings *settings, bool seeded, char **operands, int count)
{
    const struct ps_dataset *dataset = ps_dataset_find(operands[0]);
    if (!dataset)
        return ps_error_code();
    bool by_class = settings->test_classes > 0;
    struct ps_prepare_options options = {
        .match = settings->match,
        .test_classes = settings->test_classes,
        .shuffle = seeded,
        .seed = (uint64_t)settings->seed,
        .min_images = settings->min_images ? (size_t)settings->min_images
                      : by_class           ? 2
                                           : 1,
        .allow_missing = settings->allow_missing,
        .boxes = settings->boxes,
        .verify = settings->verify,
        .threads = (int)settings->threads,
    };
    struct ps_manifest manifest;
    int rc = ps_out_check(settings->output, 0);
    if (rc)
        return rc;
    rc = ps_dataset_prepare(&manifest, dataset, operands + 1, (size_t)count - 1, settings->output,
                            &options);
    if (rc)
        return rc;
    struct ps_text text = {0};
    rc = describe(settings, &options, &text);
    if (!rc && text.length && !(manifest.settings = ps_strdup(text.data + 1)))
        rc = PS_ENOMEM;
    ps_text_free(&text);
    if (!rc)
        rc = ps_manifest_write(&manifest, settings->output);
    if (!rc)
        log_summary(&manifest, settings->output);
    ps_manifest_free(&manifest);
    return rc;
}

static int check_usage(const struct settings *settings, bool seeded, char **operands, int count)
{
    if (settings->summary)
        return count == 1 ? PS_OK : ps_fail(PS_EUSAGE, "--summary takes one manifest");
    if (count < 2)
        return ps_fail(PS_EUSAGE, "expected: DATASET SOURCE... -o MANIFEST (see --help)");
    if (!settings->output)
        return ps_fail(PS_EUSAGE, "-o MANIFEST is missing ('-' is standard output)");
    const struct ps_dataset *dataset = ps_dataset_find(operands[0]);
    if (!dataset)
        return ps_error_code();
    if (settings->match && dataset != &ps_dataset_folder)
        return ps_fail(PS_EUSAGE, "--match applies only to the data set 'folder'");
    if ((settings->test_classes > 0 || settings->min_images) && !dataset->by_class)
        return ps_fail(PS_EUSAGE,
                       "--test-classes and --min-images do not apply to %s, which has a published "
                       "split",
                       operands[0]);
    if (seeded && settings->test_classes <= 0)
        return ps_fail(PS_EUSAGE, "--seed requires --test-classes");
    return PS_OK;
}

/* All data sets: in the summary of --help, and as words. */
static void write_help(struct ps_text *text, struct ps_text *names)
{
    ps_text_printf(text, "Lists the images of a raw data set, in folders or archives, in a "
                         "manifest.\n\nData sets and their sources:");
    for (const struct ps_dataset *const *at = ps_datasets; *at; at++) {
        ps_text_printf(text, "\n  %-10s %s", (*at)->name, (*at)->sources);
        ps_text_printf(names, "%s%s", names->length ? "|" : "", (*at)->name);
    }
}

int main(int argc, char **argv)
{
    struct ps_text help = {0}, names = {0};
    write_help(&help, &names);
    struct settings settings = {.boxes = true};
    struct ps_opt options[] = {
        PS_TEXT("output", &settings.output, "MANIFEST",
                "output manifest; its paths are relative to its folder", .letter = 'o'),
        PS_FLAG("summary", &settings.summary, "print a summary of a manifest instead"),
        PS_FLAG("allow-missing", &settings.allow_missing,
                "tolerate missing images and empty class folders, and count them"),
        PS_FLAG("verify", &settings.verify, "verify the published MD5 of known archives first"),
        PS_FLAG(
            "boxes", &settings.boxes,
            "keep object boxes (cars196, cub200, list); --no-boxes if images are already cropped"),
        PS_INT("workers", &settings.threads, 0, 1024, "threads that read images; 0: all processors",
               .letter = 'j', .aliases = "threads"),
        PS_SECTION("Data sets 'folder', 'list' and 'webdataset'"),
        PS_TEXT("match", &settings.match, "PATTERN",
                "folder: only files whose name matches, such as 'portrait_*.jpg'"),
        PS_REAL("test-classes", &settings.test_classes, 0, 1,
                "use this fraction of the classes for the test split: the last in sorted order",
                .argument = "FRACTION"),
        PS_INT("seed", &settings.seed, 0, 9e15, "draw the test classes at random with this seed"),
        PS_INT("min-images", &settings.min_images, 0, 1e9,
               "drop classes with fewer images; 0: 2 with --test-classes, otherwise 1"),
    };
    struct ps_command command = {
        .name = "ps-prepare",
        .synopsis = "[options] DATASET SOURCE... -o MANIFEST\n--summary MANIFEST",
        .summary = help.data ? help.data : "",
        .examples = "  ps-prepare folder photos --test-classes 0.5 -o m.tsv\n  ps-prepare cars196 "
                    "car_ims.tgz cars_annos.mat -o cars.tsv\n  ps-prepare cars196 cars_train.tar "
                    "devkit -o cars.tsv\n  ps-prepare --summary m.tsv\n",
        .choices = names.data,
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int operands;
    int rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN) {
        bool seeded = ps_opt_find(&command, "seed")->given;
        rc = check_usage(&settings, seeded, argv, operands);
        if (!rc && settings.summary)
            rc = summarise(argv[0]);
        else if (!rc)
            rc = prepare(&settings, seeded, argv, operands);
    }
    ps_text_free(&help);
    ps_text_free(&names);
    return ps_opt_finish(&command, rc);
}
