/* ps-pack: from a manifest and its images to shards, and what shards hold. */
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/number.h"
#include "base/opt.h"
#include "base/tsv.h"
#include "data/pack.h"
#include "data/shard_tool.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_MARGIN = 10 };

struct settings {
    int split;
    const char *output, *quarantine, *extract, *crop_boxes;
    long threads, short_side, max_side, quality, shards;
    bool verify, list;
};

static int pack(const char *manifest, const struct settings *settings)
{
    struct ps_pack_options how = {
        .split = settings->split == 0 ? PS_PACK_TRAIN : PS_PACK_TEST,
        .pixels = {.short_side = (int32_t)settings->short_side,
                   .max_side = (int32_t)settings->max_side,
                   .quality = (int)settings->quality,
                   .crop_boxes = settings->crop_boxes},
        .threads = (int)settings->threads,
        .shards = (size_t)settings->shards,
        .quarantine = settings->quarantine,
    };
    struct ps_pack_result result;
    if (settings->crop_boxes && (!ps_parse_real(settings->crop_boxes, &how.pixels.margin) ||
                                 how.pixels.margin < 0 || how.pixels.margin > MOST_MARGIN))
        return ps_fail(PS_EUSAGE, "--crop-boxes: '%s' is not a margin from 0 to %d",
                       settings->crop_boxes, MOST_MARGIN);
    int rc = ps_out_check(settings->output, 0);
    if (!rc && settings->quarantine)
        rc = ps_out_check(settings->quarantine, 0);
    if (rc)
        return rc;
    rc = ps_pack(manifest, settings->output, &how, &result);
    if (rc)
        return rc;
    ps_info("%s: %zu images of %zu classes, %.1f MB", settings->output, result.images,
            result.classes, (double)result.bytes / 1e6);
    if (result.reused)
        ps_info("%zu of them reused from the existing shard", result.reused);
    if (result.rejected)
        ps_warn("%zu unreadable images were skipped; see %s", result.rejected,
                settings->quarantine);
    return PS_OK;
}

static int print_record(const ps_shard *shard, size_t i, const struct ps_record *record)
{
    char *class = ps_tsv_escape(ps_shard_class_name(shard, (size_t)record->label));
    char *name = ps_tsv_escape(record->name);
    int rc = class && name ? PS_OK : PS_ENOMEM;
    if (!rc && printf("%zu\t%d\t%s\t%s\t%u\t%u\t%s\t%zu\t%s\n", i, (int)record->label, class,
                      record->role < PS_ROLES ? ps_role_names[record->role] : "?", record->width,
                      record->height, record->codec == PS_CODEC_JPEG ? "jpeg" : "other",
                      record->length, name) < 0)
        rc = ps_fail_errno("standard output: cannot write");
    free(class);
    free(name);
    return rc;
}

/* Attributes before the header of the table: what the shard is, and what it was made from. */
static void print_origin(const char *path, const ps_shard *shard)
{
    printf("# shard: %s id=%s records=%zu classes=%zu\n", path, ps_shard_id(shard),
           ps_shard_count(shard), ps_shard_classes(shard));
    printf("# made-from: manifest=%s dataset=%s split=%s settings=%s\n",
           ps_shard_manifest_id(shard), ps_shard_dataset(shard), ps_shard_split(shard),
           ps_shard_settings(shard));
}

static int print_list(const char *path, ps_shard *shard, bool first)
{
    int rc = PS_OK;
    print_origin(path, shard);
    if (first)
        printf("record\tlabel\tclass\trole\twidth\theight\tcodec\tbytes\tname\n");
    for (size_t i = 0; i < ps_shard_count(shard) && !rc; i++) {
        struct ps_record record;
        rc = ps_shard_get(shard, i, &record);
        if (!rc)
            rc = print_record(shard, i, &record);
        if (!rc && ps_interrupted())
            rc = ps_fail_interrupted();
    }
    return rc;
}

static int inspect(const char *path, bool first, const struct settings *settings)
{
    ps_shard *shard = ps_shard_open(path);
    if (!shard)
        return (int)ps_error_code();
    int rc;
    if (settings->list)
        rc = print_list(path, shard, first);
    else if (settings->extract)
        rc = ps_shard_extract(shard, settings->extract);
    else
        rc = ps_shard_verify(shard, (int)settings->threads);
    if (!rc && settings->verify)
        ps_info("%s: %zu records of %zu classes verified", path, ps_shard_count(shard),
                ps_shard_classes(shard));
    ps_shard_close(shard);
    return rc;
}

static int run(char **paths, int count, const struct settings *settings)
{
    int modes = settings->verify + settings->list + (settings->extract != NULL);
    if (modes > 1)
        return ps_fail(PS_EUSAGE, "--verify, --list and --extract are mutually exclusive");
    if (modes == 0 && (count != 1 || !settings->output))
        return ps_fail(PS_EUSAGE, "expected one manifest and -o SHARD (see --help)");
    if (modes == 1 && (count < 1 || settings->output))
        return ps_fail(PS_EUSAGE, "expected shards and no -o (see --help)");
    if (modes == 0)
        return pack(paths[0], settings);
    int rc = PS_OK;
    for (int i = 0; i < count && !rc; i++)
        rc = inspect(paths[i], i == 0, settings);
    return rc;
}

int main(int argc, char **argv)
{
    struct settings settings = {.quality = 95, .shards = 1};
    struct ps_opt options[] = {
        PS_CHOICE("split", &settings.split, "train|test",
                  "split to pack; test includes query and gallery", .letter = 's'),
        PS_TEXT("output", &settings.output, "SHARD", "output shard", .letter = 'o'),
        PS_INT("workers", &settings.threads, 0, 1024, "threads that read images; 0: all processors",
               .letter = 'j', .aliases = "threads"),
        PS_INT("short-side", &settings.short_side, 0, 65535,
               "limit the shorter side to N pixels; 0: no limit"),
        PS_INT("max-side", &settings.max_side, 0, 65535,
               "limit the longer side to N pixels; 0: no limit"),
        PS_TEXT("crop-boxes", &settings.crop_boxes, "MARGIN",
                "crop to the object's box, if the manifest has one, and this fraction of its sides "
                "around it"),
        PS_INT("quality", &settings.quality, 1, 100,
               "JPEG quality of images that were shrunk or cropped"),
        PS_INT("shards", &settings.shards, 1, 10000,
               "distribute the images evenly over K shards, NAME-00.mdb, NAME-01.mdb, ...",
               .argument = "K"),
        PS_TEXT("quarantine", &settings.quarantine, "FILE",
                "list unreadable images in FILE and pack the others"),
        PS_SECTION("Instead of packing"),
        PS_FLAG("verify", &settings.verify, "verify and decode every record of the given shards"),
        PS_FLAG("list", &settings.list, "print the records of the given shards as a table"),
        PS_TEXT("extract", &settings.extract, "FOLDER",
                "write the images of the given shards to FOLDER/CLASS/NUMBER-NAME"),
    };
    struct ps_command command = {
        .name = "ps-pack",
        .synopsis = "[options] MANIFEST -o SHARD\n--verify | --list | --extract FOLDER SHARD...",
        .summary =
            "Packs the images of one split of a manifest into a shard, decoding each once "
            "to verify it. Images keep their encoded bytes unless they are shrunk or cropped. "
            "An existing shard is updated: records for the same image and settings are reused.",
        .examples = "  ps-pack -s train m.tsv -o train.mdb\n  ps-pack -s test --short-side 256 "
                    "m.tsv -o test.mdb\n  ps-pack --list train.mdb\n",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int operands;
    int rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN)
        rc = run(argv, operands, &settings);
    return ps_opt_finish(&command, rc);
}
