#include "train/settings.h"
#include "base/err.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOLEANS "false|true|f|t|no|yes|0|1"

struct ps_train_settings ps_train_settings_default(void)
{
    return (struct ps_train_settings){
        .backbone = "bninception",
        .dim = 64,
        .input_size = 224,
        .loss = {.kind = 1, .m = -1, .tau = -1},
        .alpha = 0.4,
        .optimizer = {.kind = PS_ADAM, .weight_decay = 1e-4, .eps = 0.01},
        .schedule = {.decay_rate = 0.1, .decay_step = 20, .decay_stop = 100000, .epochs = 50},
        .model_lr = 1e-4,
        .embedding_lr = -1,
        .proxy_lr = 1e-2,
        .batch = 128,
        .n_instance = 1,
        .accumulate = 1,
        .check_epoch = 5,
        .k_list = "1,2,4,8",
        .device = "auto",
        .gpu = -1,
        .workers = 5,
        .max_to_keep = 1,
        .checkpoint_minutes = 10,
        .log_steps = 10,
        .tensorboard = true,
    };
}

#define FLAG(field, n, h)                                                                          \
    {                                                                                              \
        .kind = PS_OPT_FLAG, .name = n, .value = &s->field, .help = h                              \
    }
#define TEXT(field, n, a, h)                                                                       \
    {                                                                                              \
        .kind = PS_OPT_TEXT, .name = n, .value = (void *)&s->field, .argument = a, .help = h       \
    }
#define CHOICE(field, n, words, h)                                                                 \
    {                                                                                              \
        .kind = PS_OPT_CHOICE, .name = n, .value = &s->field, .argument = words, .help = h         \
    }
#define INT(field, n, low, high, h)                                                                \
    {                                                                                              \
        .kind = PS_OPT_INT, .name = n, .value = &s->field, .argument = "N", .least = low,          \
        .most = high, .help = h                                                                    \
    }
#define REAL(field, n, low, high, h)                                                               \
    {                                                                                              \
        .kind = PS_OPT_REAL, .name = n, .value = &s->field, .argument = "X", .least = low,         \
        .most = high, .help = h                                                                    \
    }
#define SECTION(h)                                                                                 \
    {                                                                                              \
        .kind = PS_OPT_SECTION, .help = h                                                          \
    }
/* What may differ between two command lines of the same run. */
static const char not_recipe[] =
    " data eval output data-name init eval-best device gpu threads workers deterministic "
    "checkpoint-steps checkpoint-minutes tensorboard ";

struct ps_opt *ps_train_options(struct ps_train_settings *s, size_t *count)
{
    const double inf = INFINITY;
    const struct ps_opt table[] = {
        SECTION("Data"),
        {.kind = PS_OPT_TEXT,
         .name = "data",
         .value = (void *)&s->data,
         .argument = "SHARD",
         .help = "training shard; or a folder with train.mdb and test.mdb, or with class folders "
                 "in train/ and test/"},
        TEXT(eval, "eval", "SHARD", "shard to evaluate on; default: the test part of a folder"),
        {.kind = PS_OPT_TEXT,
         .letter = 'o',
         .name = "output",
         .value = (void *)&s->output,
         .argument = "RUNDIR",
         .help = "folder for models, checkpoint and logs",
         .aliases = "save-path"},
        TEXT(data_name, "data-name", "NAME", "name of the data set, for the records"),
        {.kind = PS_OPT_INT,
         .letter = 'C',
         .name = "classes",
         .value = &s->classes,
         .argument = "N",
         .most = inf,
         .help = "classes the training shard must have; 0: any",
         .aliases = "c"},
        REAL(val_classes, "val-classes", 0, 0.9,
             "share of the training classes held out to choose the best model by"),
        INT(input_size, "input-size", 16, 4096, "pixels a side that the network sees"),
        INT(resize, "resize", 0, 8192,
            "short side of test images before the centre crop; 0: input-size * 256 / 224"),
        CHOICE(channels, "channels", "auto|rgb|bgr", "order of colour channels"),
        FLAG(orient, "orient", "obey the EXIF orientation of images"),

        SECTION("Network"),
        TEXT(backbone, "backbone", "NAME", "bninception, resnet18, resnet34, resnet50, resnet101"),
        CHOICE(pooling, "pooling-type", "GAP|GMP|GAP,GMP", "pooling of the last feature map"),
        INT(dim, "dim", 1, 65536, "dimension of the embedding"),
        FLAG(freeze_bn, "freeze-bn", "keep the running statistics of batch normalisation"),
        TEXT(init, "init", "FILE", "weights to start from: model, .safetensors or .pth"),

        SECTION("Loss (--help loss explains each)"),
        CHOICE(loss.kind, "loss", ps_loss_names, "the loss"),
        REAL(loss.scale, "scale", 0, inf, "scale s of the logits; 0: the loss's default"),
        REAL(loss.m, "margin", -1, 100, "margin m; negative: the loss's default"),
        INT(loss.centers, "centers", 0, 1000, "softtriple: centers a class; 0: the default, 10"),
        REAL(loss.gamma, "gamma", 0, inf, "softtriple: softness of the choice of a center"),
        REAL(loss.tau, "tau", -1, inf, "softtriple: weight of the regulariser"),
        CHOICE(loss.regularizer, "regularizer", PS_REGULARIZER_NAMES, "what is synthesised"),
        REAL(loss.mu, "ps-mu", 0, inf, "synthetic pairs per sample, 0 to 1; 0 turns it off"),
        REAL(alpha, "ps-alpha", 0, inf, "interpolation weights are Beta(alpha, alpha)"),
        FLAG(loss.keep_equal, "ps-equal-pairs",
             "also synthesise between neighbours of equal label, as the reference does"),
        FLAG(per_pair, "ps-per-pair", "an interpolation weight a pair instead of one a batch"),

        SECTION("Optimisation"),
        INT(schedule.epochs, "epochs", 0, 1e9, "epochs; 0 writes the initial model"),
        {.kind = PS_OPT_INT,
         .letter = 'b',
         .name = "batch-size",
         .value = &s->batch,
         .argument = "N",
         .least = 1,
         .most = 1e6,
         .help = "images a batch"},
        INT(n_instance, "n-instance", 1, 1e6, "images of each class in a batch; 1: shuffled"),
        CHOICE(sampler, "sampler", "shuffle|balanced", "balanced draws classes uniformly"),
        INT(accumulate, "accumulate", 1, 1e6, "batches whose gradients make a step"),
        CHOICE(optimizer.kind, "optimizer", "adam|adamw|rmsprop|sgd", "update rule"),
        {.kind = PS_OPT_REAL,
         .name = "modellr",
         .value = &s->model_lr,
         .argument = "X",
         .most = inf,
         .help = "learning rate of the backbone",
         .aliases = "lr model-lr"},
        REAL(embedding_lr, "embedding-lr", -1, inf,
             "learning rate of the embedding layer; negative: as the backbone's"),
        {.kind = PS_OPT_REAL,
         .name = "centerlr",
         .value = &s->proxy_lr,
         .argument = "X",
         .most = inf,
         .help = "learning rate of the proxies",
         .aliases = "proxy-lr center-lr"},
        {.kind = PS_OPT_REAL,
         .name = "weight-decay",
         .value = &s->optimizer.weight_decay,
         .argument = "X",
         .most = inf,
         .help = "L2 weight decay",
         .aliases = "wd"},
        REAL(optimizer.eps, "eps", 1e-30, inf, "epsilon of adam and adamw"),
        CHOICE(schedule.kind, "schedule", PS_SCHEDULE_NAMES, "learning rate over time"),
        REAL(schedule.decay_rate, "decay-rate", 0, inf, "step: factor of a decay"),
        INT(schedule.decay_step, "decay-step", 0, 1e9, "step: epochs between decays"),
        INT(schedule.decay_stop, "decay-stop", 0, 1e9, "step: last epoch that may decay"),
        INT(schedule.ramp, "lr-warmup", 0, 1e9, "epochs over which learning rates grow from 0"),
        INT(warmup, "warmup", 0, 1e9, "epochs in which the backbone is frozen"),
        INT(clip_grad, "clip-grad", 0, 1, "1: clip gradients element-wise to 10"),
        REAL(optimizer.clip_norm, "clip-norm", 0, inf, "scale gradients to this norm; 0: not"),
        REAL(ema, "ema", 0, 0.999999, "evaluate an average of the weights with this decay a step"),
        INT(start_epoch, "start-epoch", 0, 1e9, "epochs taken as done already"),
        INT(seed, "seed", 0, inf, "every random choice follows from it"),

        SECTION("Evaluation"),
        INT(check_epoch, "check-epoch", 1, 1e9, "epochs between evaluations"),
        {.kind = PS_OPT_TEXT,
         .name = "k-list",
         .value = (void *)&s->k_list,
         .argument = "LIST",
         .help = "k of recall@k",
         .aliases = "recall"},
        FLAG(nmi, "do-nmi", "also cluster, and report NMI"),
        FLAG(eval_best, "eval-best", "evaluate RUNDIR's best model and train nothing"),
        INT(early_stop_epoch, "early-stop-epoch", 0, 1e9,
            "stop after so many evaluations without a new best; 0: never"),
        INT(early_stop_epochs, "early-stop-after", 0, 1e9, "the same, counted in epochs; 0: never"),

        SECTION("Running"),
        TEXT(device, "device", "NAME", "auto, cpu, cuda, cuda:N or ref"),
        INT(gpu, "gpu", -1, 1023, "number of the GPU that --device auto takes"),
        INT(threads, "threads", 0, 4096, "threads that compute; 0: all processors"),
        {.kind = PS_OPT_INT,
         .letter = 'j',
         .name = "workers",
         .value = &s->workers,
         .argument = "N",
         .least = 0,
         .most = 1024,
         .help = "threads that decode images"},
        CHOICE(precision, "precision", "f32|bf16", "arithmetic of the network"),
        CHOICE(amp, "use-amp", BOOLEANS, "true: as --precision bf16"),
        CHOICE(deterministic, "deterministic", BOOLEANS, "accepted; every run is"),
        INT(max_to_keep, "max-to-keep", 0, 1e9, "evaluated models kept by epoch; 0: all"),
        INT(checkpoint_steps, "checkpoint-steps", 0, 1e12,
            "steps between checkpoints within an epoch; 0: by time"),
        REAL(checkpoint_minutes, "checkpoint-minutes", 0, inf,
             "minutes between checkpoints within an epoch; 0: none"),
        INT(log_steps, "log-steps", 1, 1e9, "steps between lines of the log"),
        FLAG(tensorboard, "tensorboard", "write a TensorBoard event file"),
    };
    *count = sizeof table / sizeof *table;
    struct ps_opt *copy = ps_calloc(*count, sizeof *copy);
    if (copy)
        memcpy(copy, table, sizeof table);
    return copy;
}

static bool in_recipe(const char *name)
{
    char word[64];
    snprintf(word, sizeof word, " %s ", name);
    return !strstr(not_recipe, word);
}

int ps_train_recipe(const struct ps_opt *options, size_t count, struct ps_text *out)
{
    int rc = PS_OK;
    for (size_t i = 0; i < count && !rc; i++) {
        if (options[i].kind == PS_OPT_SECTION || !in_recipe(options[i].name))
            continue;
        rc = ps_text_printf(out, "%s = ", options[i].name);
        if (!rc)
            rc = ps_opt_value(&options[i], out);
        if (!rc)
            rc = ps_text_add(out, "\n", 1);
    }
    return rc;
}

int ps_train_settings_complete(struct ps_train_settings *s)
{
    if (!s->data)
        return ps_fail(PS_EUSAGE, "--data is missing: give a training shard (man ps-pack)");
    if (!s->output)
        return ps_fail(PS_EUSAGE, "--output is missing: give a folder for the run");
    if (!ps_net_has_backbone(s->backbone))
        return ps_fail(PS_EUSAGE, "--backbone: '%s' is not one of %s", s->backbone,
                       ps_net_backbones);
    if (ps_loss_uses_lambda(&s->loss) && s->alpha <= 0)
        return ps_fail(PS_EUSAGE, "--ps-alpha: %g is not positive", s->alpha);
    if (s->schedule.ramp && s->schedule.kind == PS_SCHEDULE_ONE_CYCLE)
        return ps_fail(PS_EUSAGE, "--lr-warmup: one-cycle has its own");
    if (s->n_instance > 1 && s->batch % s->n_instance)
        return ps_fail(PS_EUSAGE, "--n-instance: %ld does not divide the batch of %ld",
                       s->n_instance, s->batch);
    if (s->embedding_lr < 0)
        s->embedding_lr = s->model_lr;
    if (s->clip_grad)
        s->optimizer.clip_value = 10;
    if (s->amp % 2)
        s->precision = 1;
    if (!s->resize)
        s->resize = lround((double)s->input_size * 256 / 224);
    if (s->resize < s->input_size)
        return ps_fail(PS_EUSAGE, "--resize: %ld is smaller than the input of %ld", s->resize,
                       s->input_size);
    if (!s->workers)
        s->workers = 1;
    return ps_loss_settings_complete(&s->loss);
}

struct ps_net_spec ps_train_spec(const struct ps_train_settings *s)
{
    struct ps_net_spec spec = {
        .pooling = s->pooling,
        .dim = (int)s->dim,
        .size = (int)s->input_size,
        .freeze_bn = s->freeze_bn,
        .input = ps_net_default_input(s->backbone),
    };
    snprintf(spec.backbone, sizeof spec.backbone, "%s", s->backbone);
    for (int i = 0; i < 3 && s->channels; i++)
        spec.input.order[i] = s->channels == 1 ? i : 2 - i;
    return spec;
}
