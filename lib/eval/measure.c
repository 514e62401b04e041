#include "eval/measure.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/ranks.h"
#include "eval/classes.h"
#include "eval/cluster.h"
#include "eval/metrics.h"
#include "eval/protocol.h"
#include "eval/similarity.h"
#include "eval/statistics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const ps_metric_names[PS_METRICS] = {"recall", "rp",  "map@r", "precision",
                                                 "map",    "nmi", "ami"};

int ps_metrics_parse(bool metric[PS_METRICS], const char *where, const char *list)
{
    const char *at = list;
    do {
        size_t length = strcspn(at, ",");
        bool all = length == 3 && !strncmp(at, "all", 3), known = all;
        for (int m = 0; m < PS_METRICS; m++) {
            const char *name = ps_metric_names[m];
            if (all || (strlen(name) == length && !strncmp(at, name, length)))
                metric[m] = known = true;
        }
        if (!known)
            return ps_fail(PS_EUSAGE,
                           "%s: no metric '%.*s'; there are recall, rp, map@r, precision, map, "
                           "nmi, ami, and all",
                           where, (int)length, at);
        at += length;
    } while (*at++ == ',');
    return PS_OK;
}

static const double progress_from = 1e11; /* products, from which a search takes seconds */

/* A metric that every query has a value of. */
struct column {
    char name[32];
    enum ps_metric metric;
    size_t k; /* which of how->k */
};

struct measuring {
    struct ps_results *results;
    const struct ps_measures *how;
    const struct ps_embedding *embedding;
    struct ps_protocol protocol;
    struct ps_retrieval retrieval;
    struct ps_classes classes; /* of the queries */
    struct column *column;
    size_t columns;
    double *value; /* (total) of one column; NaN for lone queries */
    const char *index;
};

static void add_columns(struct measuring *e, enum ps_metric metric)
{
    const struct ps_measures *how = e->how;
    bool at_k = metric == PS_METRIC_RECALL || metric == PS_METRIC_PRECISION;
    for (size_t i = 0; how->metric[metric] && i < (at_k ? how->k_count : 1); i++) {
        struct column *column = &e->column[e->columns++];
        *column = (struct column){.metric = metric, .k = i};
        if (at_k)
            snprintf(column->name, sizeof column->name, "%s@%ld", ps_metric_names[metric],
                     how->k[i]);
        else
            snprintf(column->name, sizeof column->name, "%s", ps_metric_names[metric]);
    }
}

static void fill_values(struct measuring *e, const struct column *column)
{
    const struct ps_retrieval *r = &e->retrieval;
    for (size_t q = 0; q < r->total; q++) {
        if (!r->query_relevant[q])
            e->value[q] = NAN;
        else if (column->metric == PS_METRIC_RECALL)
            e->value[q] = r->query_first[q] && r->query_first[q] <= e->how->k[column->k];
        else if (column->metric == PS_METRIC_PRECISION)
            e->value[q] = r->query_precision[q * r->k_count + column->k];
        else
            e->value[q] = column->metric == PS_METRIC_RP         ? r->query_rp[q]
                          : column->metric == PS_METRIC_MAP_AT_R ? r->query_map_at_r[q]
                                                                 : r->query_map[q];
    }
}

/* Mean over the queries row[0..n) that count, NaN if there are none. */
static double mean_of(const double *value, const int64_t *row, size_t n, size_t *used)
{
    double sum = 0;
    *used = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(value[row[i]])) {
            sum += value[row[i]];
            ++*used;
        }
    return *used ? sum / (double)*used : NAN;
}

static int put_interval(struct measuring *e, const struct column *column)
{
    const struct ps_measures *how = e->how;
    size_t total = e->retrieval.total;
    uint32_t *group = how->over_classes ? ps_calloc(total, sizeof *group) : NULL;
    if (how->over_classes && !group)
        return PS_ENOMEM;
    for (size_t c = 0; group && c < e->classes.count; c++)
        for (size_t i = e->classes.begin[c]; i < e->classes.begin[c + 1]; i++)
            group[e->classes.row[i]] = (uint32_t)c;
    double low, high;
    int rc = ps_bootstrap_mean(&low, &high, e->value, group, total, e->classes.count,
                               how->bootstrap, how->seed, 0.95);
    free(group);
    char name[48];
    snprintf(name, sizeof name, "%s_low", column->name);
    if (!rc)
        rc = ps_results_real(e->results, name, how->scale * low);
    snprintf(name, sizeof name, "%s_high", column->name);
    return rc ? rc : ps_results_real(e->results, name, how->scale * high);
}

static int put_metrics(struct measuring *e, const int64_t *row, size_t n, size_t *used)
{
    int rc = PS_OK;
    for (size_t i = 0; i < e->columns && !rc; i++) {
        fill_values(e, &e->column[i]);
        double mean = mean_of(e->value, row, n, used);
        rc = ps_results_real(e->results, e->column[i].name, e->how->scale * mean);
        if (!rc && e->how->bootstrap && !e->how->per_class)
            rc = put_interval(e, &e->column[i]);
    }
    return rc;
}

/* Columns that say what the row is of. */
static int put_what(struct measuring *e)
{
    const struct ps_measures *how = e->how;
    int rc = PS_OK;
    for (size_t i = 0; i < how->tag_count && !rc; i++)
        rc = ps_results_text(e->results, how->tags[2 * i], how->tags[2 * i + 1]);
    if (!rc)
        rc = ps_results_text(e->results, "file", e->embedding->file);
    if (!rc)
        rc = ps_results_count(e->results, "dim", e->protocol.task.dim);
    if (!rc && how->index)
        rc = ps_results_text(e->results, "index", e->index ? e->index : "exact");
    for (int i = 0; i < 2 && how->provenance && !rc; i++) {
        static const char *const ids[] = {"shard_id", "model_id"};
        const char *id = ps_embedding_meta(e->embedding, ids[i]);
        rc = ps_results_text(e->results, ids[i], id ? id : "");
    }
    return rc;
}

static int put_class(struct measuring *e, size_t c)
{
    size_t begin = e->classes.begin[c], n = e->classes.begin[c + 1] - begin, used = 0;
    int length;
    const char *class = ps_embedding_class(e->embedding, e->classes.label[c], &length);
    char label[32], *name = ps_asprintf("%.*s", length, class ? class : "");
    if (!name)
        return PS_ENOMEM;
    snprintf(label, sizeof label, "%lld", (long long)e->classes.label[c]);
    int rc = put_what(e);
    if (!rc)
        rc = ps_results_text(e->results, "label", label);
    if (!rc)
        rc = ps_results_text(e->results, "class", name);
    free(name);
    if (!rc)
        rc = put_metrics(e, e->classes.row + begin, n, &used);
    if (!rc)
        rc = ps_results_count(e->results, "queries", used);
    return rc ? rc : ps_results_count(e->results, "lone", n - used);
}

/* k-means of all rows of the evaluation, k = the number of their classes. */
static int put_clustering(struct measuring *e)
{
    const struct ps_measures *how = e->how;
    const struct ps_retrieval_task *task = &e->protocol.task;
    bool apart = e->protocol.two_sets;
    size_t n = task->n + (apart ? task->queries : 0);
    float *x = ps_calloc(n * task->dim, sizeof *x);
    int64_t *label = ps_calloc(n, sizeof *label), *cluster = ps_calloc(n, sizeof *cluster);
    struct ps_classes classes = {0};
    struct ps_agreement agreement;
    int rc = x && label && cluster ? PS_OK : PS_ENOMEM;
    if (!rc)
        rc = ps_rows_normalise(x, task->gallery, task->n, task->dim, e->embedding->file, 0);
    if (!rc && apart)
        rc = ps_rows_normalise(x + task->n * task->dim, task->query, task->queries, task->dim,
                               e->embedding->file, 0);
    if (!rc) {
        memcpy(label, task->gallery_label, task->n * sizeof *label);
        if (apart)
            memcpy(label + task->n, task->query_label, task->queries * sizeof *label);
        rc = ps_classes_init(&classes, label, n);
    }
    if (!rc)
        rc = ps_kmeans(cluster, x, n, task->dim, classes.count, 20, how->seed, how->threads);
    if (!rc)
        rc = ps_agree(&agreement, label, cluster, n);
    if (!rc && how->metric[PS_METRIC_NMI])
        rc = ps_results_real(e->results, "nmi", how->scale * agreement.nmi);
    if (!rc && how->metric[PS_METRIC_AMI])
        rc = ps_results_real(e->results, "ami", how->scale * agreement.ami);
    ps_classes_free(&classes);
    free(x);
    free(label);
    free(cluster);
    return rc;
}

static int put_all(struct measuring *e)
{
    const struct ps_measures *how = e->how;
    size_t used;
    int rc = put_what(e);
    if (!rc)
        rc = put_metrics(e, e->classes.row, e->classes.n, &used);
    if (!rc && (how->metric[PS_METRIC_NMI] || how->metric[PS_METRIC_AMI]))
        rc = put_clustering(e);
    if (!rc)
        rc = ps_results_count(e->results, "queries", e->retrieval.queries);
    if (!rc)
        rc = ps_results_count(e->results, "lone", e->retrieval.lone);
    return rc ? rc : ps_results_count(e->results, "gallery", e->protocol.task.n);
}

static int put_rows(struct measuring *e)
{
    if (!e->how->per_class)
        return put_all(e);
    int rc = PS_OK;
    for (size_t c = 0; c < e->classes.count && !rc; c++)
        rc = put_class(e, c);
    return rc;
}

static int run_protocol(struct measuring *e)
{
    const struct ps_measures *how = e->how;
    const struct ps_retrieval_task *task = &e->protocol.task;
    double work = (double)task->queries * (double)task->n * (double)task->dim;
    const struct ps_retrieval_settings settings = {.k = how->k,
                                                   .k_count = how->k_count,
                                                   .map = how->metric[PS_METRIC_MAP],
                                                   .index = e->index,
                                                   .threads = how->threads,
                                                   .backend = how->backend,
                                                   .ranks = true,
                                                   .progress = work > progress_from,
                                                   .name = e->embedding->file};
    int rc = ps_retrieval_run(&e->retrieval, task, &settings);
    if (rc)
        return rc;
    e->value = ps_calloc(task->queries, sizeof *e->value);
    rc = e->value ? ps_classes_init(&e->classes, task->query_label, task->queries) : PS_ENOMEM;
    if (!rc && ps_rank() == 0)
        rc = put_rows(e);
    free(e->value);
    ps_classes_free(&e->classes);
    ps_retrieval_free(&e->retrieval);
    return rc;
}

static int run_dim(struct measuring *e, const struct ps_embedding *gallery, size_t dim)
{
    int rc = ps_protocol_init(&e->protocol, e->embedding, gallery, dim);
    if (rc)
        return rc;
    e->index = NULL;
    rc = run_protocol(e);
    if (!rc && e->how->index) {
        e->index = e->how->index;
        rc = run_protocol(e);
    }
    ps_protocol_free(&e->protocol);
    return rc;
}

int ps_measure(struct ps_results *results, const struct ps_embedding *query,
               const struct ps_embedding *gallery, const struct ps_measures *how)
{
    struct measuring e = {.results = results, .how = how, .embedding = query};
    e.column = ps_calloc(2 * how->k_count + PS_METRICS, sizeof *e.column);
    if (!e.column)
        return PS_ENOMEM;
    for (int metric = 0; metric < PS_METRIC_NMI; metric++)
        add_columns(&e, (enum ps_metric)metric);
    int rc = how->dim_count ? PS_OK : run_dim(&e, gallery, query->dim);
    for (size_t i = 0; i < how->dim_count && !rc; i++)
        rc = run_dim(&e, gallery, (size_t)how->dims[i]);
    free(e.column);
    return rc;
}
