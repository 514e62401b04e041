#include "train/settings.h"
#include "base/err.h"
#include "base/number.h"
#include "base/parallel.h"
#include "base/ranks.h"
#include "net/modelmeta.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOLEANS "false|true|f|t|no|yes|0|1"

enum { NO_END = 1000000000 }; /* epochs */

struct ps_train_settings ps_train_settings_default(void)
{
    return (struct ps_train_settings){
        .dim = 64,
        .input_size = 224,
        .loss = {.kind = PS_LOSS_DEFAULT, .m = -1, .tau = -1},
        .alpha = 0.4,
        .optimizer = {.kind = PS_ADAM, .weight_decay = 1e-4, .proxy_decay = -1, .eps = 0.01},
        .schedule = {.decay_rate = 0.1,
                     .decay_step = 20,
                     .decay_stop = 100000,
                     .patience = 10,
                     .epochs = 50},
        .proxy_init_scale = 1,
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

/* Options that may change when a run is resumed, and those that others tell: temperature by scale,
 * use-amp by precision. */
static const char not_recipe[] =
    " recipe data eval output restart extend data-name init freeze eval-best device gpu threads "
    "workers "
    "deterministic checkpoint-steps checkpoint-minutes tensorboard tune profile "
    "checkpoint-activations temperature use-amp ";

struct ps_opt *ps_train_options(struct ps_train_settings *s, size_t *count)
{
    const double inf = INFINITY;
    const struct ps_opt table[] = {
        PS_TEXT("recipe", &s->recipe, "NAME",
                "begin with the settings of a published recipe (see --help recipe); all other "
                "options win over it",
                .library = PS_TRAIN_RECIPES),
        PS_SECTION("Data"),
        PS_TEXT("data", &s->data, "SHARD",
                "training shard, or a folder with train.mdb and test.mdb or with class folders in "
                "train/ and test/"),
        PS_TEXT("eval", &s->eval, "SHARD",
                "shard to evaluate on; default: test.mdb of the --data folder"),
        PS_TEXT("output", &s->output, "RUNDIR", "run folder for models, checkpoint and logs",
                .aliases = "save-path", .letter = 'o'),
        PS_FLAG(
            "restart", &s->restart,
            "where RUNDIR holds a run with other settings or data, keep it in RUNDIR/previous-N "
            "and start anew"),
        PS_FLAG("extend", &s->extend,
                "go on with a run to more --epochs though its schedule depends on them"),
        PS_TEXT("data-name", &s->data_name, "NAME", "name of the data set, for the log"),
        PS_INT("classes", &s->classes, 0, inf, "required number of classes; 0: any", .aliases = "c",
               .letter = 'C'),
        PS_REAL("val-classes", &s->val_classes, 0, 0.9,
                "fraction of the training classes held out to select the best model",
                .yields = "folds"),
        PS_INT("folds", &s->folds, 0, 1000,
               "parts of the training classes for cross-validation; 0: none",
               .yields = "val-classes"),
        PS_INT("fold", &s->fold, 0, 1000, "the part that is held out, from 1",
               .yields = "val-classes"),
        PS_INT("input-size", &s->input_size, 32, 512,
               "input size S of the network, S x S pixels; 32 to 512"),
        PS_INT("resize", &s->resize, 0, 8192,
               "short side of test images before the centre crop; 0: 256/224 of the input size",
               .yields = "input-size"),
        PS_CHOICE("channels", &s->channels, PS_CHANNELS_WORDS,
                  "channel order; auto: that of the published weights"),
        PS_FLAG("orient", &s->orient, "apply the EXIF orientation of images"),
        PS_TEXT("color-jitter", &s->color_jitter, "B,C,S,H",
                "change brightness, contrast and saturation of training images by up to these "
                "fractions, and the hue by up to H of a circle; one number stands for B, C and S"),
        PS_REAL("random-erasing", &s->random_erasing, 0, 1,
                "erase a rectangle of a training image with this probability; 0: never"),

        PS_SECTION("Network"),
        PS_CHOICE("backbone", &s->backbone, ps_net_backbones, "backbone"),
        PS_CHOICE("pooling-type", &s->pooling, PS_POOLING_WORDS, "global pooling"),
        PS_INT("dim", &s->dim, 0, 65536,
               "dimension of the embedding layer; 0: no layer, the pooled features"),
        PS_CHOICE("embedding-norm", &s->embedding_norm, PS_NORM_WORDS,
                  "layer normalisation, without weights, of the pooled features or the embedding"),
        PS_CHOICE("embedding-init", &s->embedding_init, PS_EMBEDDING_INIT_WORDS,
                  "initial values of the embedding layer", .yields = "dim=0"),
        PS_FLAG("freeze-bn", &s->freeze_bn, "freeze the running statistics of batch normalisation"),
        PS_TEXT("init", &s->init, "FILE",
                "initial weights: model, .safetensors, .pth, or a RUNDIR for its best model"),
        PS_CHOICE("freeze", &s->freeze, "none|backbone",
                  "what is not trained at all; backbone: --freeze-bn, and --warmup without end",
                  .yields = "warmup"),

        PS_SECTION("Loss (see --help loss)"),
        PS_CHOICE("loss", &s->loss.kind, ps_loss_names, "loss"),
        PS_REAL("scale", &s->loss.scale, 0, inf, "scale s of the logits; 0: the loss's default",
                .yields = "temperature"),
        PS_REAL("temperature", &s->loss.temperature, 0, inf,
                "1 / s, in place of --scale; 0: not given", .yields = "scale"),
        PS_REAL("margin", &s->loss.m, -1, 100, "margin m; negative: the loss's default"),
        PS_INT("centers", &s->loss.centers, 0, 1000,
               "centers per class, for losses with several; 0: the loss's default"),
        PS_REAL("gamma", &s->loss.gamma, 0, inf,
                "temperature of the choice among centers; 0: the loss's default"),
        PS_REAL("tau", &s->loss.tau, -1, inf,
                "weight of the distance between centers; negative: the loss's default"),
        PS_REAL("label-smoothing", &s->loss.smoothing, 0, 0.999999,
                "part of the target that is spread evenly over all classes; 0: none"),
        PS_CHOICE("proxy-init", &s->proxy_init, PS_PROXY_INIT_WORDS,
                  "distribution that the proxies are drawn from"),
        PS_REAL("proxy-init-scale", &s->proxy_init_scale, 1e-30, inf,
                "multiplies the drawn proxies"),
        PS_CHOICE("regularizer", &s->loss.regularizer, PS_REGULARIZER_NAMES, "regulariser"),
        PS_REAL("ps-mu", &s->loss.mu, 0, inf, "synthetic samples per real sample, 0 to 1; 0: off"),
        PS_REAL("ps-alpha", &s->alpha, 0, inf,
                "interpolation coefficients are drawn from Beta(alpha, alpha)"),
        PS_FLAG("ps-equal-pairs", &s->loss.keep_equal,
                "also synthesise pairs with equal labels, as the reference does"),
        PS_FLAG("ps-per-pair", &s->per_pair,
                "one interpolation coefficient per pair instead of per batch"),

        PS_SECTION("Optimisation"),
        PS_INT("epochs", &s->schedule.epochs, 0, 1e9, "epochs; 0: only write the initial model"),
        PS_INT("batch-size", &s->batch, 1, 1e6, "images per batch", .letter = 'b'),
        PS_INT(
            "micro-batches", &s->micro_batches, 0, 65536,
            "pieces of a batch that pass through the network each by itself, and are spread over "
            "the ranks; 0: as many as ranks"),
        PS_INT("n-instance", &s->n_instance, 1, 1e6, "images per class in a batch; 1: shuffle",
               .yields = "sampler"),
        PS_CHOICE("sampler", &s->sampler, "shuffle|balanced", "balanced draws classes uniformly"),
        PS_FLAG("drop-last", &s->drop_last, "drop the last batch of an epoch if it is incomplete"),
        PS_INT("accumulate", &s->accumulate, 1, 1e6, "batches accumulated per optimiser step"),
        PS_CHOICE("optimizer", &s->optimizer.kind, "adam|adamw|rmsprop|sgd", "optimiser"),
        PS_REAL("modellr", &s->model_lr, 0, inf, "learning rate of the backbone",
                .aliases = "lr model-lr"),
        PS_REAL("embedding-lr", &s->embedding_lr, -1, inf,
                "learning rate of the embedding layer; negative: as the backbone's"),
        PS_REAL("centerlr", &s->proxy_lr, 0, inf, "learning rate of the proxies",
                .aliases = "proxy-lr center-lr"),
        PS_REAL("weight-decay", &s->optimizer.weight_decay, 0, inf, "L2 weight decay",
                .aliases = "wd"),
        PS_REAL("weight-decay-proxies", &s->optimizer.proxy_decay, -1, inf,
                "weight decay of the proxies; negative: as --weight-decay"),
        PS_CHOICE("decay", &s->optimizer.decay, PS_DECAY_NAMES,
                  "what weight decay acts on; matrices: not on biases and normalisation"),
        PS_REAL("eps", &s->optimizer.eps, 1e-30, inf, "epsilon of adam and adamw"),
        PS_CHOICE("schedule", &s->schedule.kind, PS_SCHEDULE_NAMES, "learning rate schedule"),
        PS_REAL("decay-rate", &s->schedule.decay_rate, 0, inf, "step, plateau: decay factor"),
        PS_INT("decay-step", &s->schedule.decay_step, 0, 1e9, "step: epochs between decays"),
        PS_INT("decay-first", &s->schedule.decay_first, 0, 1e9,
               "step: first epoch with a decay; 0: --decay-step"),
        PS_INT("decay-stop", &s->schedule.decay_stop, 0, 1e9, "step: last epoch with a decay"),
        PS_INT("decay-patience", &s->schedule.patience, 0, 1e9,
               "plateau: evaluations in a row without better recall that cause no decay yet"),
        PS_INT("lr-warmup", &s->schedule.ramp, 0, 1e9, "epochs of linear learning rate warm-up",
               .yields = "schedule=one-cycle"),
        PS_INT("warmup", &s->warmup, 0, NO_END, "epochs with a frozen backbone"),
        PS_INT("clip-grad", &s->clip_grad, 0, 1, "1: clip gradients element-wise to 10"),
        PS_REAL("clip-norm", &s->optimizer.clip_norm, 0, inf, "clip the gradient norm; 0: off"),
        PS_REAL("ema", &s->ema, 0, 0.999999,
                "evaluate the exponential moving average of the weights with this decay per step; "
                "0: off"),
        PS_INT("start-epoch", &s->start_epoch, 0, 1e9, "epochs to count as already done"),
        PS_INT("seed", &s->seed, 0, inf, "random seed"),

        PS_SECTION("Evaluation"),
        PS_INT("check-epoch", &s->check_epoch, 1, 1e9, "epochs between evaluations"),
        PS_TEXT("k-list", &s->k_list, "LIST", "values of k for recall@k", .aliases = "recall"),
        PS_FLAG("do-nmi", &s->nmi, "also report NMI of k-means clusters"),
        PS_FLAG("eval-best", &s->eval_best, "only evaluate the best model in RUNDIR"),
        PS_INT("early-stop-epoch", &s->early_stop_epoch, 0, 1e9,
               "stop after N evaluations without a new best; 0: never"),
        PS_INT("early-stop-after", &s->early_stop_epochs, 0, 1e9,
               "stop after N epochs without a new best; 0: never"),

        PS_SECTION("Running"),
        PS_TEXT("device", &s->device, "NAME", "auto, cpu, cuda, cuda:N or ref"),
        PS_INT("gpu", &s->gpu, -1, 1023, "GPU index for --device auto", .hidden = true),
        PS_INT("threads", &s->threads, 0, 4096,
               "compute threads; 0: all processors, or 1 with micro-batches"),
        PS_INT("workers", &s->workers, 0, 1024, "threads that read images; 0: all processors",
               .letter = 'j'),
        PS_TEXT("tune", &s->tune, "DIR",
                "choose convolution algorithms by timing them, cached in DIR"),
        PS_FLAG("profile", &s->profile, "profile the operators of the first steps"),
        PS_FLAG("checkpoint-activations", &s->checkpoint_activations,
                "recompute activations in backward: less memory, identical results, about a "
                "quarter slower"),
        PS_CHOICE("precision", &s->precision, PS_PRECISION_NAMES,
                  "precision of the network; tf32 and bf16 need AMX or a GPU, fp16 a GPU"),
        PS_REAL("loss-scale", &s->loss_scale, 1, 0x1p24, "fp16: initial loss scale"),
        PS_CHOICE("use-amp", &s->amp, BOOLEANS, "same as --precision bf16", .hidden = true,
                  .yields = "precision"),
        PS_CHOICE("deterministic", &s->deterministic, BOOLEANS,
                  "ignored: every run is deterministic", .hidden = true),
        PS_INT("max-to-keep", &s->max_to_keep, 0, 1e9,
               "number of evaluated models to keep; 0: all"),
        PS_INT("checkpoint-steps", &s->checkpoint_steps, 0, 1e12,
               "steps between checkpoints within an epoch; 0: by time only"),
        PS_REAL("checkpoint-minutes", &s->checkpoint_minutes, 0, inf,
                "minutes between checkpoints within an epoch; 0: none"),
        PS_INT("log-steps", &s->log_steps, 1, 1e9, "steps between log lines"),
        PS_FLAG("tensorboard", &s->tensorboard, "write a TensorBoard event file"),
    };
    *count = sizeof table / sizeof *table;
    struct ps_opt *copy = ps_calloc(*count, sizeof *copy);
    if (copy)
        memcpy(copy, table, sizeof table);
    return copy;
}

static bool in_recipe(const struct ps_train_settings *s, const char *name)
{
    char word[64];
    snprintf(word, sizeof word, " %s ", name);
    if (!strcmp(name, "epochs"))
        return s->schedule.kind == PS_SCHEDULE_COSINE || s->schedule.kind == PS_SCHEDULE_ONE_CYCLE;
    return !strstr(not_recipe, word);
}

int ps_train_recipe(const struct ps_train_settings *settings, const struct ps_opt *options,
                    size_t count, struct ps_text *out)
{
    int rc = PS_OK;
    for (size_t i = 0; i < count && !rc; i++) {
        if (options[i].kind == PS_OPT_SECTION || !in_recipe(settings, options[i].name))
            continue;
        rc = ps_text_printf(out, "%s = ", options[i].name);
        if (!rc)
            rc = ps_opt_value(&options[i], out);
        if (!rc)
            rc = ps_text_add(out, "\n", 1);
    }
    return rc;
}

static int parse_jitter(const char *text, double *jitter)
{
    const double most = 100, most_hue = 0.5;
    int count = 0;
    bool good = true;
    for (const char *at = text; good; at++) {
        double value;
        good = count < PS_COLORS && ps_scan_real(&at, &value) && (!*at || *at == ',') &&
               value >= 0 && value <= (count == PS_COLOR_HUE ? most_hue : most);
        if (good)
            jitter[count++] = fabs(value); /* no -0 */
        if (!*at)
            break;
    }
    if (!good || (count != 1 && count != PS_COLORS))
        return ps_fail(PS_EUSAGE,
                       "--color-jitter: '%s' is neither B nor B,C,S,H, with B, C and S in 0..%g "
                       "and H in 0..%g",
                       text, most, most_hue);
    if (count == 1)
        jitter[PS_COLOR_CONTRAST] = jitter[PS_COLOR_SATURATION] = jitter[PS_COLOR_BRIGHTNESS];
    return PS_OK;
}

/* One spelling of the same jitter: B,C,S,H, or none. */
static void spell_jitter(struct ps_train_settings *s)
{
    char number[PS_REAL_TEXT], *end = s->jitter_text;
    double sum = 0;
    for (int k = 0; k < PS_COLORS; k++) {
        ps_print_real(s->jitter[k], number);
        end += sprintf(end, "%s%s", k ? "," : "", number);
        sum += s->jitter[k];
    }
    s->color_jitter = sum > 0 ? s->jitter_text : NULL;
}

int ps_train_settings_complete(struct ps_train_settings *s)
{
    if (!s->data)
        return ps_fail(PS_EUSAGE, "--data is missing: give a training shard (man ps-pack)");
    if (!s->output)
        return ps_fail(PS_EUSAGE, "--output is missing: give a folder for the run");
    if (s->folds == 1 || s->fold > s->folds || (s->folds && !s->fold))
        return ps_fail(PS_EUSAGE, "--folds %ld --fold %ld: give two folds or more, and one of them",
                       s->folds, s->fold);
    if (s->folds && s->val_classes > 0)
        return ps_fail(PS_EUSAGE, "--folds: --val-classes also holds out classes; give one");
    if (ps_loss_uses_lambda(&s->loss) && s->alpha <= 0)
        return ps_fail(PS_EUSAGE, "--ps-alpha: %g is not positive", s->alpha);
    if (s->schedule.ramp && s->schedule.kind == PS_SCHEDULE_ONE_CYCLE)
        return ps_fail(PS_EUSAGE, "--lr-warmup: one-cycle has its own warm-up");
    int rc = s->color_jitter ? parse_jitter(s->color_jitter, s->jitter) : PS_OK;
    if (rc)
        return rc;
    spell_jitter(s);
    if (s->schedule.kind == PS_SCHEDULE_PLATEAU && !s->folds && !(s->val_classes > 0))
        return ps_fail(PS_EUSAGE, "--schedule plateau: goes by held-out classes: give "
                                  "--val-classes or --folds");
    if (s->schedule.kind == PS_SCHEDULE_PLATEAU && s->schedule.decay_rate >= 1)
        return ps_fail(PS_EUSAGE, "--decay-rate: %g is no decay", s->schedule.decay_rate);
    if (s->n_instance > 1 && s->batch % s->n_instance)
        return ps_fail(PS_EUSAGE, "--n-instance: %ld does not divide --batch-size %ld",
                       s->n_instance, s->batch);
    if (!s->micro_batches)
        s->micro_batches = ps_rank_count();
    if (s->micro_batches % ps_rank_count())
        return ps_fail(PS_EUSAGE, "--micro-batches: %ld is not a multiple of the %d ranks",
                       s->micro_batches, ps_rank_count());
    if (!s->threads && s->micro_batches > 1) /* the number of threads changes the last bits */
        s->threads = 1;
    /* batch statistics need more than one image */
    long least = s->freeze_bn ? 1 : 2;
    if (s->micro_batches > 1 && s->batch < least * s->micro_batches)
        return ps_fail(PS_EUSAGE, "--micro-batches: a batch of %ld is too small for %ld pieces",
                       s->batch, s->micro_batches);
    if (s->tune && ps_rank_count() > 1)
        return ps_fail(PS_EUSAGE, "--tune: ranks could choose different algorithms; tune one "
                                  "process, without mpirun");
    if (s->embedding_lr < 0)
        s->embedding_lr = s->model_lr;
    if (s->optimizer.proxy_decay < 0 || s->optimizer.proxy_decay == s->optimizer.weight_decay)
        s->optimizer.proxy_decay = -1;
    if (s->schedule.decay_first == s->schedule.decay_step)
        s->schedule.decay_first = 0;
    if (s->embedding_init && !s->dim)
        return ps_fail(PS_EUSAGE, "--embedding-init: --dim 0 has no embedding layer");
    if (s->clip_grad)
        s->optimizer.clip_value = 10;
    if (s->freeze) {
        s->freeze_bn = true;
        s->warmup = NO_END;
    }
    if (s->amp % 2)
        s->precision = PS_PRECISION_BF16;
    if (!s->resize)
        s->resize = ps_net_default_resize((int)s->input_size);
    if (s->resize < s->input_size)
        return ps_fail(PS_EUSAGE, "--resize: %ld is smaller than --input-size %ld", s->resize,
                       s->input_size);
    if (!s->workers)
        s->workers = ps_cpu_count();
    return ps_loss_settings_complete(&s->loss);
}

struct ps_net_spec ps_train_spec(const struct ps_train_settings *s)
{
    const char *backbone = ps_net_backbone((size_t)s->backbone);
    struct ps_net_spec spec = {
        .pooling = s->pooling,
        .norm = s->embedding_norm,
        .dim = (int)s->dim,
        .size = (int)s->input_size,
        .freeze_bn = s->freeze_bn,
        .input = ps_net_input(backbone, (enum ps_channels)s->channels),
    };
    snprintf(spec.backbone, sizeof spec.backbone, "%s", backbone);
    return spec;
}

struct ps_augment ps_train_augment(const struct ps_train_settings *s)
{
    struct ps_augment augment = {.erase = s->random_erasing};
    memcpy(augment.jitter, s->jitter, sizeof augment.jitter);
    struct ps_input_norm input = ps_train_spec(s).input;
    for (int c = 0; c < 3; c++)
        augment.fill[input.order[c]] = (uint8_t)lrintf(input.mean[c] * input.range);
    return augment;
}
