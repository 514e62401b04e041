/* ps-weights: weight files in and out, and looked into. */
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/opt.h"
#include "net/fit.h"
#include "net/modelmeta.h"
#include "net/onnx_export.h"
#include "weights/weightfile.h"
#include "weights/weighttable.h"

#include <stdio.h>
#include <string.h>

enum format { FORMAT_ONNX, FORMAT_PTH_NAMES };
enum { MOST_NAMES = 20, MOST_BEGINNINGS = 8 };

struct settings {
    const char *output, *model, *backbone, *prefix;
    double tolerance;
    int pooling, norm, channels, format, pooled;
    long size, resize;
};

static void report_names(const char *what, const char *const *names, size_t count)
{
    struct ps_text text = {0};
    for (size_t i = 0; i < count && i < MOST_NAMES; i++)
        ps_text_printf(&text, i ? ", %s" : "%s", names[i]);
    if (count > MOST_NAMES)
        ps_text_printf(&text, " and %zu more", count - MOST_NAMES);
    ps_info("%s: %s", what, text.data ? text.data : "none");
    ps_text_free(&text);
}

/* What a full model needs beside its tensors, as far as the file cannot tell. */
static void describe_model(struct ps_model_meta *meta, const char *backbone, int dim,
                           const struct settings *settings)
{
    struct ps_net_spec spec = {.pooling = (enum ps_pooling)settings->pooling,
                               .norm = (enum ps_embedding_norm)settings->norm,
                               .dim = dim,
                               .size = (int)settings->size,
                               .freeze_bn = true,
                               .input =
                                   ps_net_input(backbone, (enum ps_channels)settings->channels)};
    snprintf(spec.backbone, sizeof spec.backbone, "%s", backbone);
    int resize = settings->resize ? (int)settings->resize : ps_net_default_resize(spec.size);
    ps_model_meta_write(meta, &spec, resize);
}

static int fail_inside(const struct ps_safetensors *file, const char *backbone, const char *inside)
{
    return ps_fail(PS_EMISMATCH, "%s: is of another network: %s has no tensor %s", file->name,
                   backbone, inside);
}

/* Says which network comes nearest, or what the names begin with, to find their prefix. */
static int fail_unknown(const struct ps_safetensors *file)
{
    const char *backbone;
    struct ps_fit fit;
    for (size_t i = 0; (backbone = ps_net_backbone(i)); i++) {
        if (ps_fit_file(&fit, file, backbone, true))
            continue;
        const char *inside = fit.matched > fit.missing_count ? fit.inside : NULL;
        ps_fit_free(&fit);
        if (inside)
            return fail_inside(file, backbone, inside);
    }
    struct ps_text names = {0};
    size_t count = 0;
    const char *last = "";
    for (size_t i = 0; i < file->count && count < MOST_BEGINNINGS; i++) {
        const char *name = file->tensors[i].name;
        size_t length = strcspn(name, ".");
        if (i && !strncmp(name, last, length) && strcspn(last, ".") == length)
            continue;
        ps_text_printf(&names, "%s%.*s%s", count++ ? ", " : "", (int)length, name,
                       name[length] ? "." : "");
        last = name;
    }
    int rc =
        ps_fail(PS_EMISMATCH,
                "%s: the tensors match none of %s; their names begin with %s (--prefix removes "
                "one; --backbone none imports any tensors)",
                file->name, ps_net_backbones, names.data ? names.data : "nothing");
    ps_text_free(&names);
    return rc;
}

/* Finds out which network the tensors are for, tells how they fit, and fills `meta` where they are
 * a full model. */
static int fit_network(struct ps_safetensors *file, const struct settings *settings,
                       struct ps_model_meta *meta)
{
    meta->count = 0;
    bool any = settings->backbone && !strcmp(settings->backbone, "none");
    int rc = any && !settings->prefix
                 ? PS_OK
                 : ps_fit_strip(file, any ? NULL : settings->backbone, settings->prefix);
    if (rc || any)
        return rc;
    const char *backbone = settings->backbone ? settings->backbone : ps_fit_backbone(file);
    if (!backbone)
        return fail_unknown(file);
    struct ps_fit fit;
    rc = ps_fit_file(&fit, file, backbone, settings->pooled);
    if (rc)
        return rc;
    ps_info("%s: %zu tensors match %s", file->name, fit.matched, backbone);
    report_names("missing", fit.missing, fit.missing_count);
    report_names("unused", fit.unused, fit.unused_count);
    if (!fit.matched)
        rc = ps_fail(PS_EMISMATCH, "%s: has no tensor of %s", file->name, backbone);
    else if (fit.inside)
        rc = fail_inside(file, backbone, fit.inside);
    else if (fit.complete)
        describe_model(meta, backbone, fit.dim, settings);
    ps_fit_free(&fit);
    return rc;
}

static int import(const char *path, const struct settings *settings)
{
    if (!settings->output)
        return ps_fail(PS_EUSAGE, "import requires -o FILE");
    struct ps_safetensors file;
    int rc = ps_weightfile_open(&file, path);
    if (rc)
        return rc;
    struct ps_model_meta meta;
    struct ps_hash id = ps_hash_bytes(file.map.bytes, file.map.length);
    static const char made_by[] = "ps-weights " PS_VERSION;
    const char *pairs[6 + 2 * PS_MODEL_PAIRS] = {"source", ps_path_base(path), "source-id",
                                                 id.hex,   "made-by",          made_by};
    rc = fit_network(&file, settings, &meta);
    if (!rc) {
        memcpy(pairs + 6, meta.pairs, 2 * meta.count * sizeof *pairs);
        rc = ps_weightfile_save(settings->output, &file, pairs, 3 + meta.count);
    }
    if (!rc)
        ps_info("%s: %s of %zu tensors", settings->output,
                meta.count ? "a complete model" : "weights", file.count);
    ps_safetensors_close(&file);
    return rc;
}

static int export(const struct settings *settings)
{
    if (!settings->model || !settings->output)
        return ps_fail(PS_EUSAGE, "export requires -m MODEL and -o FILE");
    struct ps_model model;
    int rc = ps_model_open(&model, settings->model);
    if (rc)
        return rc;
    rc = settings->format == FORMAT_ONNX ? ps_onnx_save(settings->output, &model)
                                         : ps_published_save(settings->output, &model);
    ps_model_close(&model);
    return rc;
}

static int show(const char *path)
{
    struct ps_safetensors file;
    struct ps_hash id;
    int rc = ps_weightfile_open(&file, path);
    if (rc)
        return rc;
    rc = ps_hash_file(path, &id);
    if (!rc) {
        printf("# id: %s\n", id.hex);
        rc = ps_weights_show(stdout, &file);
    }
    ps_safetensors_close(&file);
    return rc;
}

static int diff(char **paths, const struct settings *settings)
{
    struct ps_safetensors a, b;
    bool same = true;
    int rc = ps_weightfile_open(&a, paths[0]);
    if (rc)
        return rc;
    if (!(rc = ps_weightfile_open(&b, paths[1]))) {
        rc = ps_weights_diff(stdout, &a, &b, settings->tolerance, &same);
        ps_safetensors_close(&b);
    }
    ps_safetensors_close(&a);
    if (!rc && !same)
        rc = ps_fail(PS_EMISMATCH, "%s and %s differ", paths[0], paths[1]);
    return rc;
}

static int run(char **words, int count, const struct settings *settings)
{
    const char *action = count ? words[0] : "";
    if (settings->backbone && strcmp(settings->backbone, "none") != 0 &&
        !ps_net_has_backbone(settings->backbone))
        return ps_fail(PS_EUSAGE, "--backbone: '%s' is not one of %s, none", settings->backbone,
                       ps_net_backbones);
    if (!strcmp(action, "import") && count == 2)
        return import(words[1], settings);
    if (!strcmp(action, "show") && count == 2)
        return show(words[1]);
    if (!strcmp(action, "diff") && count == 3)
        return diff(words + 1, settings);
    if (!strcmp(action, "export") && count == 1)
        return export(settings);
    return ps_fail(
        PS_EUSAGE,
        "expected import FILE -o FILE, show FILE, diff FILE FILE, or export -m MODEL -o FILE");
}

int main(int argc, char **argv)
{
    struct settings settings = {.size = 224};
    struct ps_opt options[] = {
        PS_TEXT("output", &settings.output, "FILE", "import, export: output file; - is stdout",
                .letter = 'o'),
        PS_TEXT("model", &settings.model, "FILE", "export: model file", .letter = 'm'),
        PS_CHOICE("format", &settings.format, "onnx|pth-names",
                  "export: output format; pth-names is the backbone alone as safetensors, with "
                  "published names"),
        PS_REAL("tolerance", &settings.tolerance, 0, 1e300,
                "diff: ignore differences up to X, relative to the largest element"),
        PS_SECTION("Import"),
        PS_TEXT("backbone", &settings.backbone, "NAME",
                "the backbone, or none for any tensors; default: recognised by its tensors"),
        PS_TEXT("prefix", &settings.prefix, "TEXT",
                "remove TEXT from the names that begin with it; default: recognised"),
        PS_CHOICE("pooling", &settings.pooling, PS_POOLING_WORDS, "global pooling",
                  .aliases = "pooling-type"),
        PS_CHOICE("dim", &settings.pooled, "auto|0",
                  "embedding layer; auto: the file's; 0: none, the embeddings are the pooled "
                  "features"),
        PS_CHOICE("embedding-norm", &settings.norm, PS_NORM_WORDS,
                  "layer normalisation, without weights, of the pooled features or the embedding"),
        PS_INT("input-size", &settings.size, 32, 512, "input size in pixels, 32 to 512",
               .argument = "S"),
        PS_INT("resize", &settings.resize, 0, 4096,
               "short side before the centre crop; 0: 256/224 of the input size", .argument = "S"),
        PS_CHOICE("channels", &settings.channels, PS_CHANNELS_WORDS,
                  "channel order; auto: that of the published weights"),
    };
    struct ps_command command = {
        .name = "ps-weights",
        .synopsis = "import [options] FILE -o WEIGHTS\nshow FILE\ndiff [--tolerance X] FILE "
                    "FILE\nexport [--format onnx|pth-names] -m MODEL -o FILE",
        .summary = "Imports, shows, compares and exports weight files: safetensors, and PyTorch's "
                   ".pth and .pt, without executing anything in them.",
        .examples = "  ps-weights import resnet50-0676ba61.pth -o resnet50.safetensors\n  "
                    "ps-weights show resnet50.safetensors | column -t\n  ps-weights export -m "
                    "best.safetensors -o best.onnx\n",
        .choices = "import|show|diff|export",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int operands, rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN)
        rc = run(argv, operands, &settings);
    return ps_opt_finish(&command, rc);
}
