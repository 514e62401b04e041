#include "train/report.h"
#include "base/err.h"
#include "base/log.h"
#include "base/ranks.h"
#include "net/profile.h"
#include "train/tensorboard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const best_names[PS_BESTS] = {"recall", "rp", "map@r"};

int ps_report_open(struct ps_run *run)
{
    const struct ps_train_settings *s = run->settings;
    const struct ps_progress *at = &run->progress;
    if (ps_rank() > 0)
        return PS_OK;
    int rc = ps_growing_open(&run->log, s->output, "log.jsonl", at->log_bytes);
    if (!rc)
        rc = ps_growing_open(&run->timing, s->output, "timing.jsonl", -1);
    if (!rc && s->tensorboard)
        rc = ps_growing_open(&run->events, s->output, "events.out.tfevents.0.ps", at->event_bytes);
    if (!rc && s->tensorboard && !at->event_bytes)
        rc = ps_tensorboard_begin(&run->events);
    if (!rc && at->log_bytes && run->differs)
        rc = ps_eventlog_add(&run->log, json_pack("{s:s, s:I, s:I}", "kind", "extend", "epoch",
                                                  (json_int_t)at->epoch, "epochs",
                                                  (json_int_t)s->schedule.epochs));
    if (rc || at->log_bytes)
        return rc;
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "kind", "start", "version", PS_VERSION,
                  "train", ps_shard_id(run->train), "eval",
                  run->test ? ps_shard_id(run->test) : "none", "images", (json_int_t)run->fit.n,
                  "classes", (json_int_t)run->fit.classes, "recipe", run->recipe.data);
    json_t *held = line && run->held.n ? json_array() : NULL;
    for (size_t i = 0; held && i < run->held.classes; i++)
        json_array_append_new(held,
                              json_string(ps_shard_class_name(run->train, run->held.class_of[i])));
    if (held)
        json_object_set_new(line, "held_out", held);
    return ps_eventlog_add(&run->log, line);
}

/* What the best model is chosen by. */
static const char *choice_name(const struct ps_run *run)
{
    return run->held.n ? "validation " : "";
}

int ps_report_close(struct ps_run *run)
{
    int log = ps_growing_close(&run->log), timing = ps_growing_close(&run->timing);
    int events = ps_growing_close(&run->events);
    return log ? log : timing ? timing : events;
}

static int scalar(struct ps_run *run, const char *tag, int64_t step, double value)
{
    return run->events.path ? ps_tensorboard_scalar(&run->events, tag, step, value) : PS_OK;
}

int ps_report_step(struct ps_run *run, const struct ps_step_report *report)
{
    const struct ps_progress *at = &run->progress;
    double lr = report->lr[PS_GROUP_BACKBONE] < 0 ? 0 : report->lr[PS_GROUP_BACKBONE];
    ps_progress_add(report->images);
    ps_progress_note("loss %.4f", at->loss / (double)at->batch);
    if (at->step % run->settings->log_steps)
        return PS_OK;
    json_t *line = json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:I, s:I}", "kind", "step",
                             "epoch", (json_int_t)at->epoch + 1, "step", (json_int_t)at->step,
                             "loss", report->loss.value, "lr", lr, "embedding_lr",
                             report->lr[PS_GROUP_EMBEDDING], "proxy_lr", report->lr[PS_GROUP_PROXY],
                             "synthetic", (json_int_t)report->loss.synthetic, "left_out",
                             (json_int_t)report->loss.left_out);
    if (report->stepped)
        ps_eventlog_set(&line, "gradient_norm", json_real(report->gradient_norm));
    if (run->settings->precision == PS_PRECISION_FP16)
        ps_eventlog_set(&line, "loss_scale", json_real(report->loss_scale));
    if (report->skipped)
        ps_eventlog_set(&line, "skipped", json_true());
    int rc = ps_eventlog_add(&run->log, line);
    if (!rc)
        rc = scalar(run, "train/loss", at->step, report->loss.value);
    return rc ? rc : scalar(run, "train/learning_rate", at->step, lr);
}

static int print_profile(struct ps_run *run, int steps)
{
    struct ps_text text = {0};
    int rc = ps_profile_report(&text, (int)run->settings->batch, steps);
    if (!rc)
        ps_info("time per step, %s:\n%s", run->backend->ops->describe(run->backend), text.data);
    ps_text_free(&text);
    ps_profile_stop();
    run->profiled = -1;
    return rc;
}

int ps_report_profile(struct ps_run *run, bool end)
{
    enum { WARM_UP = 2, STEPS = 10 };
    if (run->profiled < 0)
        return PS_OK;
    if (!end && ++run->profiled == WARM_UP)
        ps_profile_reset();
    bool due = end ? run->profiled > 0 : run->profiled == WARM_UP + STEPS;
    bool warm = run->profiled > WARM_UP;
    return due ? print_profile(run, run->profiled - (warm ? WARM_UP : 0)) : PS_OK;
}

void ps_report_epoch_begin(struct ps_run *run, const struct ps_order *order,
                           struct ps_epoch_clock *clock)
{
    const struct ps_progress *at = &run->progress;
    *clock = (struct ps_epoch_clock){
        .started = ps_seconds(), .waited = ps_loader_waited(run->loader), .batch = at->batch};
    snprintf(clock->label, sizeof clock->label, "epoch %lld/%ld", (long long)at->epoch + 1,
             run->settings->schedule.epochs);
    size_t images = order->start[order->batches] - order->start[at->batch];
    ps_progress_begin(clock->label, images, "images");
}

int ps_report_epoch_end(struct ps_run *run, const struct ps_order *order,
                        const struct ps_epoch_clock *clock)
{
    const struct ps_progress *at = &run->progress;
    int rc = ps_eventlog_add(
        &run->log, json_pack("{s:s, s:I, s:I, s:f, s:I}", "kind", "epoch", "epoch",
                             (json_int_t)at->epoch + 1, "step", (json_int_t)at->step, "loss",
                             at->loss / (double)at->batch, "left_out", (json_int_t)at->left_out));
    double seconds = ps_seconds() - clock->started;
    double images = (double)(order->start[order->batches] - order->start[clock->batch]);
    if (!rc)
        rc = ps_eventlog_add(
            &run->timing, json_pack("{s:s, s:I, s:f, s:f, s:f, s:I}", "kind", "epoch", "epoch",
                                    (json_int_t)at->epoch + 1, "seconds", seconds,
                                    "images_per_second", images / (seconds > 0 ? seconds : 1),
                                    "waited", ps_loader_waited(run->loader) - clock->waited,
                                    "network_bytes", (json_int_t)ps_pieces_memory(&run->pieces)));
    return rc;
}

static int evaluation_scalars(struct ps_run *run, const struct ps_evaluation *result,
                              const bool *best)
{
    static const char *const tags[PS_BESTS] = {"eval/Recall_1_best", "eval/RP_best",
                                               "eval/MAP@R_best"};
    const struct ps_progress *at = &run->progress;
    int rc = PS_OK;
    for (size_t i = 0; i < run->k_count && !rc; i++) {
        char tag[64];
        snprintf(tag, sizeof tag, "eval/Recall_%ld", run->k[i]);
        rc = scalar(run, tag, at->epoch, result->retrieval.recall[i]);
    }
    if (!rc)
        rc = scalar(run, "eval/RP", at->epoch, result->retrieval.rp);
    if (!rc)
        rc = scalar(run, "eval/MAP@R", at->epoch, result->retrieval.map_at_r);
    if (!rc) /* its former name */
        rc = scalar(run, "eval/MAP", at->epoch, result->retrieval.map_at_r);
    for (int i = 0; i < PS_BESTS && !rc; i++)
        if (best[i])
            rc = scalar(run, tags[i], at->epoch, at->best[i]);
    return rc;
}

/* The criteria by which the model is best; NULL if memory runs out. */
static json_t *list_best(const bool *best)
{
    json_t *list = json_array();
    for (int i = 0; i < PS_BESTS; i++)
        if (best[i] && json_array_append_new(list, json_string(best_names[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

int ps_report_evaluation(struct ps_run *run, const char *kind, const struct ps_evaluation *result,
                         const bool *best)
{
    const struct ps_progress *at = &run->progress;
    json_t *line = json_pack("{s:s, s:I, s:I}", "kind", kind, "epoch", (json_int_t)at->epoch,
                             "step", (json_int_t)at->step);
    for (size_t i = 0; i < run->k_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "recall@%ld", run->k[i]);
        ps_eventlog_set(&line, name, json_real(result->retrieval.recall[i]));
    }
    ps_eventlog_set(&line, "rp", json_real(result->retrieval.rp));
    ps_eventlog_set(&line, "map@r", json_real(result->retrieval.map_at_r));
    ps_eventlog_set(&line, "queries", json_integer((json_int_t)result->retrieval.queries));
    ps_eventlog_set(&line, "lone", json_integer((json_int_t)result->retrieval.lone));
    if (!isnan(result->nmi))
        ps_eventlog_set(&line, "nmi", json_real(result->nmi));
    ps_eventlog_set(&line, "best", list_best(best));
    int rc = ps_eventlog_add(&run->log, line);
    if (rc)
        return rc;
    const struct ps_retrieval *r = &result->retrieval;
    if (!strcmp(kind, "test")) {
        ps_info("test, model of epoch %lld: recall@%ld %.4f, RP %.4f, MAP@R %.4f",
                (long long)at->best_epoch[PS_BEST_RECALL], run->k[0], r->recall[0], r->rp,
                r->map_at_r);
        return PS_OK;
    }
    ps_info("epoch %lld: %srecall@%ld %.4f, RP %.4f, MAP@R %.4f%s", (long long)at->epoch,
            choice_name(run), run->k[0], r->recall[0], r->rp, r->map_at_r,
            best[0] || best[1] || best[2] ? " (best so far)" : "");
    return evaluation_scalars(run, result, best);
}

void ps_report_summary(const struct ps_run *run)
{
    const struct ps_progress *at = &run->progress;
    ps_info("%lld epochs, %lld steps; last model in %s/last.safetensors", (long long)at->epoch,
            (long long)at->step, run->settings->output);
    if (at->evaluated < 0)
        return;
    ps_info("best %srecall@%ld %.4f (epoch %lld), RP %.4f (epoch %lld), MAP@R %.4f (epoch %lld)",
            choice_name(run), run->k[0], at->best[PS_BEST_RECALL],
            (long long)at->best_epoch[PS_BEST_RECALL], at->best[PS_BEST_RP],
            (long long)at->best_epoch[PS_BEST_RP], at->best[PS_BEST_MAP],
            (long long)at->best_epoch[PS_BEST_MAP]);
}
