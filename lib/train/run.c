#include "train/run.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/ranks.h"
#include "data/folder.h"
#include "net/device.h"
#include "net/model.h"
#include "net/profile.h"
#include "train/rundir.h"
#include "train/tuning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Opens the training shard and, if any, the test shard. */
static int open_shards(struct ps_run *run)
{
    const struct ps_train_settings *s = run->settings;
    char *train = NULL, *test = NULL;
    if (ps_is_folder(s->data)) {
        bool first = ps_rank() == 0; /* packs; the others find the shards up to date */
        int rc = first ? ps_folder_shards(s->data, (int)s->workers, &train, &test) : PS_OK;
        rc = ps_ranks_agree(rc);
        if (!rc && !first)
            rc = ps_folder_shards(s->data, (int)s->workers, &train, &test);
        if (rc)
            return rc;
    }
    const char *test_path = s->eval ? s->eval : test;
    run->train = ps_shard_open(train ? train : s->data);
    if (run->train && test_path)
        run->test = ps_shard_open(test_path);
    bool ok = run->train && (!test_path || run->test);
    free(train);
    free(test);
    return ok ? PS_OK : (int)ps_error_code();
}

static int open_data(struct ps_run *run)
{
    const struct ps_train_settings *s = run->settings;
    int rc = open_shards(run);
    if (rc)
        return rc;
    size_t classes = ps_shard_classes(run->train);
    if (s->classes && (size_t)s->classes != classes)
        return ps_fail(PS_EMISMATCH, "%s has %zu classes, but -C is %ld", ps_shard_path(run->train),
                       classes, s->classes);
    rc = ps_class_names_check(run->train);
    if (!rc)
        rc = ps_subset_split(&run->fit, &run->held, run->train,
                             &(struct ps_split){.share = s->val_classes,
                                                .folds = s->folds,
                                                .fold = s->fold,
                                                .seed = (uint64_t)s->seed});
    if (!rc && run->fit.classes < 2)
        rc = ps_fail(PS_EINVAL, "%s: %zu classes are too few to train on",
                     ps_shard_path(run->train), run->fit.classes);
    if (!rc && run->held.n)
        rc = ps_eval_set_new(&run->choice, run->train, run->held.index, run->held.n);
    if (!rc && run->test)
        ps_subset_tell_overlap(run->train, run->test);
    if (!rc && run->test)
        rc = ps_eval_set_new(run->held.n ? &run->final : &run->choice, run->test, NULL, 0);
    if (!rc)
        rc = ps_parse_longs("--k-list", s->k_list, 1, &run->k, &run->k_count);
    for (size_t i = 0; i < run->fit.classes && !rc; i++)
        rc = ps_text_printf(&run->classes, "%s\n",
                            ps_shard_class_name(run->train, run->fit.class_of[i]));
    return rc;
}

/* `n` images of an epoch pass through the network, so many at once. */
static void add_pass(struct ps_tuned_network *network, enum ps_mode mode, size_t images, size_t n)
{
    size_t i = network->passes++;
    network->pass[i].mode = mode;
    network->pass[i].images = images;
    network->pass[i].times = (n + images - 1) / images;
}

/* Compares what was measured with the rule, by the passes of this run. */
static int check_tuning(struct ps_run *run, const char *name,
                        const struct ps_backend_config *config)
{
    const struct ps_train_settings *s = run->settings;
    struct ps_tuned_network network = {.spec = ps_train_spec(s),
                                       .micro_batches = (size_t)s->micro_batches,
                                       .checkpoint_activations = s->checkpoint_activations};
    size_t batch = (size_t)s->batch;
    add_pass(&network, PS_TRAIN, batch, run->fit.n);
    const struct ps_eval_set *const sets[2] = {&run->choice, &run->final};
    for (size_t i = 0; i < 2; i++)
        if (sets[i]->shard)
            add_pass(&network, PS_INFER, ps_embed_batch(sets[i]->n, batch), sets[i]->n);
    return ps_tuning_check(&run->backend, name, config, &network, s->tune);
}

static int open_device(struct ps_run *run)
{
    const struct ps_train_settings *s = run->settings;
    struct ps_backend_config config = {
        .threads = (int)s->threads, .precision = s->precision, .cache = run->tuned};
    const char *name = s->device;
    char numbered[32];
    if (s->gpu >= 0 && !strcmp(name, "auto")) {
        snprintf(numbered, sizeof numbered, "cuda:%ld", s->gpu);
        run->backend = ps_device_open(numbered, &config);
        if (run->backend)
            name = numbered;
        else
            ps_info("--gpu %ld is not usable (%s)", s->gpu, ps_error());
    }
    if (!run->backend)
        run->backend = ps_device_open(name, &config);
    if (!run->backend)
        return ps_error_code();
    int rc = run->tuned ? check_tuning(run, name, &config) : PS_OK;
    if (rc || !s->profile)
        return rc;
    if (!strcmp(run->backend->ops->name, "cuda"))
        return ps_fail(PS_ENOTSUP, "--profile: GPUs run asynchronously "
                                   "(use --device cpu, or the tools of CUDA)");
    rc = ps_profile_start(run->backend);
    run->profiled = rc ? -1 : 0;
    return rc;
}

static int open_network(struct ps_run *run)
{
    const struct ps_train_settings *s = run->settings;
    struct ps_net_spec spec = ps_train_spec(s);
    run->net = ps_net_new(run->backend, &spec, ps_loss_proxies(&s->loss, run->fit.classes));
    if (!run->net)
        return ps_error_code();
    int rc = ps_optimizer_new(&run->optimizer, &s->optimizer, run->net);
    if (rc)
        return rc;
    ps_net_checkpoint_activations(run->net, s->checkpoint_activations);
    return ps_run_initialise(run);
}

static ps_vec *new_vector(struct ps_run *run, size_t n)
{
    ps_vec *v = run->backend->ops->vec_new(run->backend, n);
    if (!v)
        ps_device_fail(run->backend);
    return v;
}

static int open_training(struct ps_run *run)
{
    const struct ps_train_settings *s = run->settings;
    ps_backend *be = run->backend;
    size_t batch = (size_t)s->batch, n = ps_net_params_size(run->net), dim = ps_net_dim(run->net);
    int rc = ps_pieces_new(&run->pieces, run->net, (size_t)s->micro_batches, batch);
    if (rc)
        return rc;
    run->loss = ps_loss_new(be, &s->loss, run->fit.classes, dim, batch);
    if (!run->loss || !(run->dx = new_vector(run, batch * dim)))
        return ps_error_code();
    if (s->ema > 0) {
        run->average = new_vector(run, n);
        run->spare = run->average ? new_vector(run, n) : NULL;
        if (!run->spare)
            return ps_error_code();
        if (be->ops->vec_axpby(be, 0, run->average, 0, 1, ps_net_params(run->net), 0, n))
            return ps_device_fail(be);
    }
    run->labels = ps_calloc(batch, sizeof *run->labels);
    run->lambda = ps_calloc(batch, sizeof *run->lambda);
    if (s->loss.regularizer == PS_REGULARIZER_MANIFOLD)
        run->mixed = ps_calloc(batch, (size_t)(s->input_size * s->input_size * 3));
    if (!run->labels || !run->lambda ||
        (s->loss.regularizer == PS_REGULARIZER_MANIFOLD && !run->mixed))
        return PS_ENOMEM;
    struct ps_loader_settings loading = {
        .transform = {.size = (int32_t)s->input_size, .train = true, .orient = s->orient},
        .augment = ps_train_augment(s),
        .threads = (int)s->workers,
        .depth = 4,
        .seed = (uint64_t)s->seed,
    };
    if (!run->mixed) /* which mixes neighbours, whoever's they are */
        loading.rows = ps_pieces_rows(&run->pieces);
    run->loader = ps_loader_new(run->train, &loading, batch);
    return run->loader ? PS_OK : (int)ps_error_code();
}

/* The recipe of the options that a run's version did not have yet. */
static int default_recipe(struct ps_text *out)
{
    struct ps_train_settings settings = ps_train_settings_default();
    settings.micro_batches = 1; /* as one rank makes of its 0 */
    size_t count;
    struct ps_opt *options = ps_train_options(&settings, &count);
    int rc = options ? ps_train_recipe(&settings, options, count, out) : PS_ENOMEM;
    free(options);
    return rc;
}

static int describe(struct ps_run *run, const struct ps_opt *options, size_t count)
{
    int rc = ps_train_recipe(run->settings, options, count, &run->recipe);
    if (!rc)
        rc = default_recipe(&run->defaults);
    if (rc)
        return rc;
    const char *const identity[2 * PS_IDENTITY] = {
        "recipe",      run->recipe.data,
        "train_shard", ps_shard_id(run->train),
        "eval_shard",  run->test ? ps_shard_id(run->test) : "none",
        "init",        run->init_id,
        "class_names", run->classes.data,
    };
    memcpy(run->identity, identity, sizeof identity);
    run->checkpoint_path = ps_path_join(run->settings->output, "checkpoint.safetensors");
    run->checkpoint = (struct ps_checkpoint){
        .net = run->net,
        .optimizer = &run->optimizer,
        .average = run->average,
        .resize = (int)run->settings->resize,
        .progress = &run->progress,
        .identity = run->identity,
        .pairs = PS_IDENTITY,
        .defaults = run->defaults.data,
        .differs = &run->differs,
    };
    return run->checkpoint_path ? PS_OK : PS_ENOMEM;
}

static int lock_folder(struct ps_run *run)
{
    if (ps_rank() > 0)
        return PS_OK;
    run->made_folder = access(run->settings->output, F_OK) != 0;
    run->folder = ps_rundir_lock(run->settings->output);
    return run->folder < 0 ? run->folder : PS_OK;
}

int ps_run_open(struct ps_run *run, const struct ps_train_settings *settings,
                const struct ps_opt *options, size_t count)
{
    *run = (struct ps_run){
        .settings = settings,
        .folder = -1,
        .profiled = -1,
        .progress = {
            .epoch = settings->start_epoch,
            .evaluated = -1,
            .best_epoch = {-1, -1, -1},
            .scale = {settings->precision == PS_PRECISION_FP16 ? settings->loss_scale : 1, 0},
            .plateau = {.best = -INFINITY}}};
    int rc = lock_folder(run);
    if (!rc)
        rc = open_data(run);
    if (!rc && settings->tune)
        rc = ps_tuning_open(settings->tune, settings->output, &run->tuned);
    if (!rc)
        rc = open_device(run);
    if (!rc)
        rc = open_network(run);
    if (!rc)
        rc = open_training(run);
    if (!rc)
        rc = describe(run, options, count);
    if (rc) {
        bool made = run->made_folder;
        ps_run_close(run);
        if (made)
            rmdir(settings->output); /* if empty */
    }
    return rc;
}

void ps_run_close(struct ps_run *run)
{
    ps_loader_free(run->loader);
    ps_order_free(&run->orders[0]);
    ps_order_free(&run->orders[1]);
    ps_loss_free(run->loss);
    ps_pieces_free(&run->pieces);
    ps_optimizer_free(&run->optimizer);
    ps_vec *const vectors[3] = {run->dx, run->average, run->spare};
    for (size_t i = 0; i < 3; i++)
        if (vectors[i])
            run->backend->ops->vec_free(run->backend, vectors[i]);
    ps_net_free(run->net);
    if (run->profiled >= 0)
        ps_profile_stop();
    ps_device_close(run->backend);
    ps_eval_set_free(&run->choice);
    ps_eval_set_free(&run->final);
    ps_subset_free(&run->fit);
    ps_subset_free(&run->held);
    ps_shard_close(run->train);
    ps_shard_close(run->test);
    ps_text_free(&run->recipe);
    ps_text_free(&run->defaults);
    ps_text_free(&run->classes);
    free(run->k);
    free(run->labels);
    free(run->lambda);
    free(run->mixed);
    free(run->checkpoint_path);
    free(run->tuned);
    ps_growing_close(&run->log);
    ps_growing_close(&run->timing);
    ps_growing_close(&run->events);
    if (run->folder >= 0)
        close(run->folder);
    *run = (struct ps_run){0};
}

bool ps_run_stops_early(const struct ps_run *run)
{
    const struct ps_train_settings *s = run->settings;
    const struct ps_progress *at = &run->progress;
    int64_t last = 0;
    for (int i = 0; i < PS_BESTS; i++)
        if (at->best_epoch[i] > last)
            last = at->best_epoch[i];
    return (s->early_stop_epoch && at->stale >= s->early_stop_epoch) ||
           (s->early_stop_epochs && at->epoch - last >= s->early_stop_epochs);
}

/* The settings that may differ from those that the run had. */
static const char *may_differ(const struct ps_run *run, bool finished)
{
    const struct ps_train_settings *s = run->settings;
    if (!finished)
        return s->extend ? "epochs" : NULL;
    return s->early_stop_epoch || s->early_stop_epochs
               ? "classes log-steps max-to-keep do-nmi"
               : "classes log-steps max-to-keep do-nmi k-list check-epoch eval_shard";
}

int ps_run_resume(struct ps_run *run)
{
    const char *path = run->checkpoint_path;
    const struct ps_progress start = run->progress;
    struct ps_progress *at = &run->progress;
    long epochs = run->settings->schedule.epochs;
    int found = ps_checkpoint_progress(path, at);
    if (found <= 0)
        return found;
    bool goes_on = at->finished && at->epoch < epochs && !ps_run_stops_early(run);
    run->checkpoint.may_differ = may_differ(run, at->finished && !goes_on);
    int rc = at->epoch + (at->batch > 0) <= epochs
                 ? ps_checkpoint_load(path, &run->checkpoint)
                 : ps_fail(PS_EMISMATCH,
                           "%s has trained for %lld epochs, more than --epochs %ld (another "
                           "--output, or --restart)",
                           run->settings->output, (long long)at->epoch, epochs);
    if (goes_on)
        at->finished = 0;
    if (rc == PS_EMISMATCH)
        *at = start;
    return rc ? rc : 1;
}

int ps_run_check_room(const struct ps_run *run, bool resumed)
{
    if (ps_rank() > 0)
        return PS_OK;
    const struct ps_train_settings *s = run->settings;
    struct statvfs fs;
    size_t model = (ps_net_params_size(run->net) + ps_net_state_size(run->net)) * sizeof(float);
    size_t checkpoint = ps_checkpoint_size(&run->checkpoint);
    size_t models = 1 + (run->choice.shard ? PS_BESTS : 0);
    if (run->choice.shard && s->max_to_keep > 1)
        models += (size_t)s->max_to_keep;
    /* A new checkpoint lies beside the old one until it is complete. */
    size_t all = resumed ? checkpoint : 2 * checkpoint + models * model;
    int rc = ps_out_check(run->checkpoint_path, checkpoint);
    if (rc || statvfs(s->output, &fs) || fs.f_bavail * fs.f_frsize >= all)
        return rc;
    return ps_fail(PS_EIO, "%s: the run needs %zu MB, and %llu MB are free", s->output,
                   all / 1000000 + 1, (unsigned long long)(fs.f_bavail * fs.f_frsize) / 1000000);
}

int ps_run_save(struct ps_run *run)
{
    if (ps_rank() > 0)
        return PS_OK;
    int64_t log = ps_growing_sync(&run->log), events = ps_growing_sync(&run->events);
    if (log < 0 || events < 0)
        return (int)(log < 0 ? log : events);
    run->progress.log_bytes = log;
    run->progress.event_bytes = events;
    return ps_checkpoint_save(run->checkpoint_path, &run->checkpoint);
}

int ps_run_use_average(struct ps_run *run)
{
    ps_backend *be = run->backend;
    ps_vec *params = ps_net_params(run->net);
    size_t n = ps_net_params_size(run->net);
    if (!run->average)
        return PS_OK;
    if (be->ops->vec_axpby(be, 0, run->spare, 0, 1, params, 0, n) ||
        be->ops->vec_axpby(be, 0, params, 0, 1, run->average, 0, n))
        return ps_device_fail(be);
    ps_net_changed(run->net);
    return PS_OK;
}

int ps_run_drop_average(struct ps_run *run)
{
    ps_backend *be = run->backend;
    if (!run->average)
        return PS_OK;
    if (be->ops->vec_axpby(be, 0, ps_net_params(run->net), 0, 1, run->spare, 0,
                           ps_net_params_size(run->net)))
        return ps_device_fail(be);
    ps_net_changed(run->net);
    return PS_OK;
}

int ps_run_save_model(struct ps_run *run, const char *name)
{
    if (ps_rank() > 0)
        return PS_OK;
    char trained[64];
    snprintf(trained, sizeof trained, "epoch %lld, step %lld", (long long)run->progress.epoch,
             (long long)run->progress.step);
    const char *metadata[2 * PS_IDENTITY + 6];
    memcpy(metadata, run->identity, sizeof run->identity);
    metadata[2 * PS_IDENTITY] = "trained";
    metadata[2 * PS_IDENTITY + 1] = trained;
    metadata[2 * PS_IDENTITY + 2] = "train_manifest";
    metadata[2 * PS_IDENTITY + 3] = ps_shard_manifest_id(run->train);
    metadata[2 * PS_IDENTITY + 4] = "orient";
    metadata[2 * PS_IDENTITY + 5] = run->settings->orient ? "true" : "false";
    char *path = ps_path_join(run->settings->output, name);
    int rc = path ? ps_run_use_average(run) : PS_ENOMEM;
    if (!rc)
        rc = ps_model_save(path, run->net, (int)run->settings->resize, metadata, PS_IDENTITY + 3,
                           NULL, 0);
    free(path);
    return rc ? rc : ps_run_drop_average(run);
}

static int evaluate_net(struct ps_run *run, ps_net *net, int resize, const struct ps_eval_set *set,
                        struct ps_evaluation *out)
{
    const struct ps_train_settings *s = run->settings;
    const struct ps_evaluate_settings settings = {
        .embed = {.resize = resize,
                  .orient = s->orient,
                  .threads = (int)s->workers,
                  .batch = (size_t)s->batch,
                  .label = "evaluation"},
        .metrics = {.k = run->k,
                    .k_count = run->k_count,
                    .threads = (int)s->threads,
                    .backend = run->backend},
        .nmi = s->nmi,
    };
    return ps_evaluate(net, set, &settings, out);
}

int ps_run_evaluate(struct ps_run *run, const struct ps_eval_set *set, struct ps_evaluation *out)
{
    int rc = ps_run_use_average(run);
    if (rc)
        return rc;
    rc = evaluate_net(run, run->net, (int)run->settings->resize, set, out);
    int back = ps_run_drop_average(run);
    if (!rc && back)
        ps_evaluation_free(out);
    return rc ? rc : back;
}

int ps_run_measure_best(struct ps_run *run, const struct ps_eval_set *set,
                        struct ps_evaluation *out)
{
    char *path = NULL;
    struct ps_model model;
    int rc = ps_ranks_agree(PS_OK); /* rank 0 has saved it */
    if (!rc)
        rc = ps_rundir_best(run->settings->output, run->k[0], &path);
    if (!rc)
        rc = ps_model_open(&model, path);
    free(path);
    if (rc)
        return rc;
    ps_net *net = ps_model_net(&model, run->backend, false);
    rc = net ? evaluate_net(run, net, model.resize, set, out) : (int)ps_error_code();
    ps_net_free(net);
    ps_model_close(&model);
    return rc;
}
