#include "train/settings.h"
#include "base/err.h"
#include "net/modelmeta.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOLEANS "false|true|f|t|no|yes|0|1"

struct ps_train_settings ps_train_settings_default(void)
{
    return (struct ps_train_settings){
        .dim = 64,
        .input_size = 224,
        .loss = {.kind = PS_LOSS_DEFAULT, .m = -1, .tau = -1},
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
        .loss_scale = 65536,
        .max_to_keep = 1,
        .checkpoint_minutes = 10,
        .log_steps = 10,
        .tensorboard = true,
    };
}

/* What may differ between two command lines of the same run. */
static const char not_recipe[] =
    " data eval output data-name init eval-best device gpu threads workers deterministic "
    "checkpoint-steps checkpoint-minutes tensorboard tune profile checkpoint-activations ";

struct ps_opt *ps_train_options(struct ps_train_settings *s, size_t *count)
{
    const double inf = INFINITY;
    const struct ps_opt table[] = {
        PS_SECTION("Data"),
        PS_TEXT("data", &s->data, "SHARD",
                "training shard; or a folder with train.mdb and test.mdb, or with class folders "
                "in train/ and test/"),
        PS_TEXT("eval", &s->eval, "SHARD",
                "shard to evaluate on; default: the test part of a folder"),
        PS_TEXT("output", &s->output, "RUNDIR", "folder for models, checkpoint and logs",
                .aliases = "save-path", .letter = 'o'),
        PS_TEXT("data-name", &s->data_name, "NAME", "name of the data set, for the records"),
        PS_INT("classes", &s->classes, 0, inf, "classes the training shard must have; 0: any",
               .aliases = "c", .letter = 'C'),
        PS_REAL("val-classes", &s->val_classes, 0, 0.9,
                "share of the training classes held out to choose the best model by"),
        PS_INT("input-size", &s->input_size, 16, 4096, "pixels a side that the network sees"),
        PS_INT("resize", &s->resize, 0, 8192,
               "short side of test images before the centre crop; 0: input-size * 256 / 224"),
        PS_CHOICE("channels", &s->channels, PS_CHANNELS_WORDS, "order of colour channels"),
        PS_FLAG("orient", &s->orient, "obey the EXIF orientation of images"),

        PS_SECTION("Network"),
        PS_CHOICE("backbone", &s->backbone, ps_net_backbones, "the network"),
        PS_CHOICE("pooling-type", &s->pooling, PS_POOLING_WORDS, "pooling of the last feature map"),
        PS_INT("dim", &s->dim, 1, 65536, "dimension of the embedding"),
        PS_FLAG("freeze-bn", &s->freeze_bn, "keep the running statistics of batch normalisation"),
        PS_TEXT("init", &s->init, "FILE", "weights to start from: model, .safetensors or .pth"),

        PS_SECTION("Loss (--help loss explains each)"),
        PS_CHOICE("loss", &s->loss.kind, ps_loss_names, "the loss"),
        PS_REAL("scale", &s->loss.scale, 0, inf, "scale s of the logits; 0: the loss's default"),
        PS_REAL("margin", &s->loss.m, -1, 100, "margin m; negative: the loss's default"),
        PS_INT("centers", &s->loss.centers, 0, 1000,
               "centers per class, for losses with several; 0: the loss's default"),
        PS_REAL("gamma", &s->loss.gamma, 0, inf,
                "temperature of the choice among centers; 0: the loss's default"),
        PS_REAL("tau", &s->loss.tau, -1, inf,
                "weight of the distance between centers; negative: the loss's default"),
        PS_CHOICE("regularizer", &s->loss.regularizer, PS_REGULARIZER_NAMES, "what is synthesised"),
        PS_REAL("ps-mu", &s->loss.mu, 0, inf, "synthetic pairs per sample, 0 to 1; 0 turns it off"),
        PS_REAL("ps-alpha", &s->alpha, 0, inf, "interpolation weights are Beta(alpha, alpha)"),
        PS_FLAG("ps-equal-pairs", &s->loss.keep_equal,
                "also synthesise between neighbours of equal label, as the reference does"),
        PS_FLAG("ps-per-pair", &s->per_pair,
                "an interpolation weight a pair instead of one a batch"),

        PS_SECTION("Optimisation"),
        PS_INT("epochs", &s->schedule.epochs, 0, 1e9, "epochs; 0 writes the initial model"),
        PS_INT("batch-size", &s->batch, 1, 1e6, "images a batch", .letter = 'b'),
        PS_INT("n-instance", &s->n_instance, 1, 1e6,
               "images of each class in a batch; 1: shuffled"),
        PS_CHOICE("sampler", &s->sampler, "shuffle|balanced", "balanced draws classes uniformly"),
        PS_INT("accumulate", &s->accumulate, 1, 1e6, "batches whose gradients make a step"),
        PS_CHOICE("optimizer", &s->optimizer.kind, "adam|adamw|rmsprop|sgd", "update rule"),
        PS_REAL("modellr", &s->model_lr, 0, inf, "learning rate of the backbone",
                .aliases = "lr model-lr"),
        PS_REAL("embedding-lr", &s->embedding_lr, -1, inf,
                "learning rate of the embedding layer; negative: as the backbone's"),
        PS_REAL("centerlr", &s->proxy_lr, 0, inf, "learning rate of the proxies",
                .aliases = "proxy-lr center-lr"),
        PS_REAL("weight-decay", &s->optimizer.weight_decay, 0, inf, "L2 weight decay",
                .aliases = "wd"),
        PS_REAL("eps", &s->optimizer.eps, 1e-30, inf, "epsilon of adam and adamw"),
        PS_CHOICE("schedule", &s->schedule.kind, PS_SCHEDULE_NAMES, "learning rate over time"),
        PS_REAL("decay-rate", &s->schedule.decay_rate, 0, inf, "step: factor of a decay"),
        PS_INT("decay-step", &s->schedule.decay_step, 0, 1e9, "step: epochs between decays"),
        PS_INT("decay-stop", &s->schedule.decay_stop, 0, 1e9, "step: last epoch that may decay"),
        PS_INT("lr-warmup", &s->schedule.ramp, 0, 1e9,
               "epochs over which learning rates grow from 0"),
        PS_INT("warmup", &s->warmup, 0, 1e9, "epochs in which the backbone is frozen"),
        PS_INT("clip-grad", &s->clip_grad, 0, 1, "1: clip gradients element-wise to 10"),
        PS_REAL("clip-norm", &s->optimizer.clip_norm, 0, inf,
                "scale gradients to this norm; 0: not"),
        PS_REAL("ema", &s->ema, 0, 0.999999,
                "evaluate an average of the weights with this decay a step"),
        PS_INT("start-epoch", &s->start_epoch, 0, 1e9, "epochs taken as done already"),
        PS_INT("seed", &s->seed, 0, inf, "every random choice follows from it"),

        PS_SECTION("Evaluation"),
        PS_INT("check-epoch", &s->check_epoch, 1, 1e9, "epochs between evaluations"),
        PS_TEXT("k-list", &s->k_list, "LIST", "k of recall@k", .aliases = "recall"),
        PS_FLAG("do-nmi", &s->nmi, "also cluster, and report NMI"),
        PS_FLAG("eval-best", &s->eval_best, "evaluate RUNDIR's best model and train nothing"),
        PS_INT("early-stop-epoch", &s->early_stop_epoch, 0, 1e9,
               "stop after so many evaluations without a new best; 0: never"),
        PS_INT("early-stop-after", &s->early_stop_epochs, 0, 1e9,
               "the same, counted in epochs; 0: never"),

        PS_SECTION("Running"),
        PS_TEXT("device", &s->device, "NAME", "auto, cpu, cuda, cuda:N or ref"),
        PS_INT("gpu", &s->gpu, -1, 1023, "number of the GPU that --device auto takes",
               .hidden = true),
        PS_INT("threads", &s->threads, 0, 4096, "threads that compute; 0: all processors"),
        PS_INT("workers", &s->workers, 0, 1024, "threads that decode images", .letter = 'j'),
        PS_TEXT("tune", &s->tune, "DIR",
                "choose implementations by measuring them, and keep the choices in DIR"),
        PS_FLAG("profile", &s->profile, "say where the time of the first steps goes"),
        PS_FLAG("checkpoint-activations", &s->checkpoint_activations,
                "keep only some activations for backward and compute the others again: the same "
                "numbers in less memory, about a quarter slower"),
        PS_CHOICE("precision", &s->precision, PS_PRECISION_NAMES,
                  "arithmetic of the network; all but fp32 need a GPU"),
        PS_REAL("loss-scale", &s->loss_scale, 1, 0x1p24, "fp16: factor of the loss to begin with"),
        PS_CHOICE("use-amp", &s->amp, BOOLEANS, "true: as --precision bf16", .hidden = true),
        PS_CHOICE("deterministic", &s->deterministic, BOOLEANS, "accepted; every run is",
                  .hidden = true),
        PS_INT("max-to-keep", &s->max_to_keep, 0, 1e9, "evaluated models kept by epoch; 0: all"),
        PS_INT("checkpoint-steps", &s->checkpoint_steps, 0, 1e12,
               "steps between checkpoints within an epoch; 0: by time"),
        PS_REAL("checkpoint-minutes", &s->checkpoint_minutes, 0, inf,
                "minutes between checkpoints within an epoch; 0: none"),
        PS_INT("log-steps", &s->log_steps, 1, 1e9, "steps between lines of the log"),
        PS_FLAG("tensorboard", &s->tensorboard, "write a TensorBoard event file"),
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
    if (ps_loss_uses_lambda(&s->loss) && s->alpha <= 0)
        return ps_fail(PS_EUSAGE, "--ps-alpha: %g is not positive", s->alpha);
    if (s->schedule.ramp && s->schedule.kind == PS_SCHEDULE_ONE_CYCLE)
        return ps_fail(PS_EUSAGE, "--lr-warmup: one-cycle has its own warm-up");
    if (s->n_instance > 1 && s->batch % s->n_instance)
        return ps_fail(PS_EUSAGE, "--n-instance: %ld does not divide --batch-size %ld",
                       s->n_instance, s->batch);
    if (s->embedding_lr < 0)
        s->embedding_lr = s->model_lr;
    if (s->clip_grad)
        s->optimizer.clip_value = 10;
    if (s->amp % 2)
        s->precision = PS_PRECISION_BF16;
    if (!s->resize)
        s->resize = ps_net_default_resize((int)s->input_size);
    if (s->resize < s->input_size)
        return ps_fail(PS_EUSAGE, "--resize: %ld is smaller than --input-size %ld", s->resize,
                       s->input_size);
    if (!s->workers)
        s->workers = 1;
    return ps_loss_settings_complete(&s->loss);
}

struct ps_net_spec ps_train_spec(const struct ps_train_settings *s)
{
    const char *backbone = ps_net_backbone((size_t)s->backbone);
    struct ps_net_spec spec = {
        .pooling = s->pooling,
        .dim = (int)s->dim,
        .size = (int)s->input_size,
        .freeze_bn = s->freeze_bn,
        .input = ps_net_input(backbone, (enum ps_channels)s->channels),
    };
    snprintf(spec.backbone, sizeof spec.backbone, "%s", backbone);
    return spec;
}
