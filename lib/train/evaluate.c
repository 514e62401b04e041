#include "train/evaluate.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/ranks.h"
#include "eval/classes.h"
#include "eval/cluster.h"
#include "net/device.h"
#include "weights/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t ps_embed_batch(size_t n, size_t most)
{
    size_t batches = (n + most - 1) / most;
    return (n + batches - 1) / batches;
}

/* Equal batches over the records; the last wraps around. */
static int make_order(struct ps_order *order, const uint32_t *index, size_t n, size_t batch)
{
    size_t batches = (n + batch - 1) / batch;
    *order = (struct ps_order){.total = batches * batch, .batches = batches};
    order->index = ps_calloc(order->total, sizeof *order->index);
    order->start = ps_calloc(batches + 1, sizeof *order->start);
    if (!order->index || !order->start)
        return PS_ENOMEM;
    for (size_t i = 0; i < order->total; i++)
        order->index[i] = index ? index[i % n] : (uint32_t)(i % n);
    for (size_t b = 0; b <= batches; b++)
        order->start[b] = b * batch;
    return PS_OK;
}

int ps_next_batch(ps_net *net, ps_loader *loader, struct ps_batch *batch)
{
    int more = ps_loader_next(loader, batch);
    int rc = more > 0 ? ps_net_stage(net, batch->images, batch->count) : PS_OK;
    return rc ? rc : more;
}

/* How the rows of an order are spread over the ranks. */
struct shares {
    const struct ps_order *order;
    size_t n, dim;
};

/* Row from which rank r embeds: whole batches, so that they do not depend on the number of ranks.
 */
static size_t row_of_rank(const struct shares *shares, size_t r)
{
    const struct ps_order *order = shares->order;
    size_t row = order->start[order->batches * r / (size_t)ps_rank_count()];
    return row < shares->n ? row : shares->n;
}

static size_t begin_of_rank(const void *shares, size_t r)
{
    return row_of_rank(shares, r) * ((const struct shares *)shares)->dim * sizeof(float);
}

/* Embeds rows `done` to n. Overlaps the computation of a batch with fetching the next. */
static int embed_batches(ps_net *net, ps_loader *loader, size_t done, size_t n, float *x)
{
    ps_backend *be = ps_net_backend(net);
    size_t dim = ps_net_dim(net);
    struct ps_batch batch;
    struct ps_mat embedding;
    int more = done < n ? ps_next_batch(net, loader, &batch) : 0;
    while (more > 0 && done < n) {
        int rc = ps_interrupted() ? ps_fail_interrupted() : PS_OK;
        if (!rc)
            rc = ps_net_forward(net, PS_INFER, NULL, batch.count, &embedding);
        if (rc)
            return rc;
        size_t rows = batch.count < n - done ? batch.count : n - done;
        more = ps_next_batch(net, loader, &batch);
        if (be->ops->vec_get(be, embedding.v, embedding.offset, x + done * dim, rows * dim))
            return ps_device_fail(be);
        done += rows;
        ps_progress_add(rows);
    }
    return more < 0 ? more : PS_OK;
}

int ps_embed_shard(ps_net *net, ps_shard *shard, const struct ps_embed_settings *settings,
                   const uint32_t *index, size_t n, float *x)
{
    struct ps_loader_settings loading = {
        .transform = {.size = ps_net_spec_of(net)->size,
                      .resize = settings->resize,
                      .orient = settings->orient},
        .threads = settings->threads,
        .depth = 3,
    };
    struct ps_order order;
    ps_loader *loader = NULL;
    size_t batch = settings->same_batch ? settings->batch : ps_embed_batch(n, settings->batch);
    int rc = make_order(&order, index, n, batch);
    const struct shares shares = {&order, n, ps_net_dim(net)};
    size_t begin = 0, end = n;
    if (!rc) {
        begin = row_of_rank(&shares, (size_t)ps_rank());
        end = row_of_rank(&shares, (size_t)ps_rank() + 1);
        loader = ps_loader_new(shard, &loading, batch);
        rc = loader ? ps_loader_start(loader, &order, 0, begin / batch) : (int)ps_error_code();
    }
    if (!rc) {
        if (settings->label)
            ps_progress_begin(settings->label, end - begin, "images");
        rc = embed_batches(net, loader, begin, end, x);
        if (settings->label)
            ps_progress_end();
    }
    rc = ps_ranks_agree(rc);
    if (!rc)
        rc = ps_ranks_gather(x, begin_of_rank, &shares);
    ps_loader_free(loader);
    ps_order_free(&order);
    return rc;
}

int ps_class_names_check(const ps_shard *shard)
{
    int rc = PS_OK;
    for (size_t c = 0; c < ps_shard_classes(shard) && !rc; c++) {
        const char *name = ps_shard_class_name(shard, c);
        rc = strchr(name, '\n')
                 ? ps_fail(PS_EINVAL, "class '%s' has a line break, and cannot be stored", name)
                 : ps_safetensors_check_text("class", name);
    }
    return rc ? ps_fail(rc, "%s: %s (rename the class)", ps_shard_path(shard), ps_error()) : PS_OK;
}

int ps_shard_roles(ps_shard *shard, const uint32_t *index, size_t n, uint8_t **role)
{
    *role = NULL;
    for (size_t i = 0; i < n; i++) {
        struct ps_record record;
        int rc = ps_shard_get(shard, index ? index[i] : i, &record);
        if (!rc && i == 0 && record.role == PS_ROLE_BOTH)
            return PS_OK;
        if (!rc && i == 0 && !(*role = ps_calloc(n, 1)))
            rc = PS_ENOMEM;
        if (rc) {
            free(*role);
            *role = NULL;
            return rc;
        }
        (*role)[i] = (uint8_t)record.role;
    }
    return PS_OK;
}

int ps_eval_set_new(struct ps_eval_set *set, ps_shard *shard, const uint32_t *index, size_t n)
{
    *set = (struct ps_eval_set){
        .shard = shard, .index = index, .n = index ? n : ps_shard_count(shard)};
    if (set->n < 2)
        return ps_fail(PS_EINVAL, "%s: %zu images are too few to evaluate on", ps_shard_path(shard),
                       set->n);
    return ps_shard_roles(shard, index, set->n, &set->role);
}

void ps_eval_set_free(struct ps_eval_set *set)
{
    free(set->role);
    *set = (struct ps_eval_set){0};
}

/* Copies the rows whose role is not `other`; returns their number. */
static size_t take_rows(const struct ps_eval_set *set, enum ps_role other, const float *x,
                        const int64_t *label, size_t dim, float *rows, int64_t *row_labels)
{
    size_t count = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (set->role[i] == other)
            continue;
        memcpy(rows + count * dim, x + i * dim, dim * sizeof *x);
        row_labels[count++] = label[i];
    }
    return count;
}

static int measure_roles(const struct ps_eval_set *set, const float *x, const int64_t *label,
                         size_t dim, const struct ps_retrieval_settings *metrics,
                         struct ps_retrieval *out)
{
    float *rows = ps_calloc(2 * set->n * dim, sizeof *rows);
    int64_t *labels = ps_calloc(2 * set->n, sizeof *labels);
    int rc = PS_ENOMEM;
    if (rows && labels) {
        float *gallery = rows + set->n * dim;
        int64_t *gallery_label = labels + set->n;
        size_t queries = take_rows(set, PS_ROLE_GALLERY, x, label, dim, rows, labels);
        size_t items = take_rows(set, PS_ROLE_QUERY, x, label, dim, gallery, gallery_label);
        rc = ps_retrieval_gallery(out, rows, labels, queries, gallery, gallery_label, items, dim,
                                  metrics);
    }
    free(rows);
    free(labels);
    return rc;
}

void ps_evaluation_free(struct ps_evaluation *evaluation)
{
    ps_retrieval_free(&evaluation->retrieval);
}

/* NMI of 20 iterations of k-means on normalised rows (Metrics in ps-method(7)). Normalises x in
 * place. */
static int measure_clusters(float *x, const int64_t *label, size_t n, size_t dim, int threads,
                            double *nmi)
{
    struct ps_classes classes;
    struct ps_agreement agreement;
    int rc = ps_classes_init(&classes, label, n);
    if (rc)
        return rc;
    size_t count = classes.count;
    ps_classes_free(&classes);
    int64_t *cluster = ps_calloc(n, sizeof *cluster);
    for (size_t i = 0; i < n; i++) {
        double squares = 0;
        for (size_t j = 0; j < dim; j++)
            squares += (double)x[i * dim + j] * (double)x[i * dim + j];
        for (size_t j = 0; j < dim; j++)
            x[i * dim + j] = (float)((double)x[i * dim + j] / sqrt(squares));
    }
    rc = cluster ? ps_kmeans(cluster, x, n, dim, count, 20, 0, threads) : PS_ENOMEM;
    if (!rc)
        rc = ps_agree(&agreement, cluster, label, n);
    if (!rc)
        *nmi = agreement.nmi;
    free(cluster);
    return rc;
}

/* The other ranks get what rank 0 measured. */
static int share_results(struct ps_evaluation *e, size_t k_count)
{
    struct ps_retrieval *r = &e->retrieval;
    bool first = ps_rank() == 0;
    if (!first)
        *r = (struct ps_retrieval){.recall = ps_calloc(k_count, sizeof *r->recall)};
    double values[] = {r->rp, r->map_at_r, e->nmi, (double)r->queries, (double)r->lone};
    int rc = r->recall ? ps_ranks_broadcast(values, sizeof values) : PS_ENOMEM;
    if (!rc)
        rc = ps_ranks_broadcast(r->recall, k_count * sizeof *r->recall);
    if (first)
        return rc;
    r->rp = values[0];
    r->map_at_r = values[1];
    e->nmi = values[2];
    r->queries = (size_t)values[3];
    r->lone = (size_t)values[4];
    return rc;
}

static int measure(const struct ps_eval_set *set, const struct ps_evaluate_settings *settings,
                   size_t dim, float *x, const int64_t *label, struct ps_evaluation *out)
{
    const struct ps_retrieval_settings *metrics = &settings->metrics;
    int rc = set->role ? measure_roles(set, x, label, dim, metrics, &out->retrieval)
                       : ps_retrieval_self(&out->retrieval, x, label, set->n, dim, metrics);
    if (!rc && settings->nmi)
        rc = measure_clusters(x, label, set->n, dim, metrics->threads, &out->nmi);
    return rc;
}

int ps_evaluate(ps_net *net, const struct ps_eval_set *set,
                const struct ps_evaluate_settings *settings, struct ps_evaluation *out)
{
    size_t dim = ps_net_dim(net);
    float *x = ps_calloc(set->n * dim, sizeof *x);
    int64_t *label = ps_calloc(set->n, sizeof *label);
    *out = (struct ps_evaluation){.nmi = NAN};
    int rc = x && label ? ps_embed_shard(net, set->shard, &settings->embed, set->index, set->n, x)
                        : PS_ENOMEM;
    const int32_t *labels = ps_shard_labels(set->shard);
    for (size_t i = 0; i < set->n && !rc; i++)
        label[i] = labels[set->index ? set->index[i] : i];
    if (!rc && ps_rank() == 0)
        rc = measure(set, settings, dim, x, label, out);
    rc = ps_ranks_agree(rc);
    if (!rc && ps_rank_count() > 1)
        rc = share_results(out, settings->metrics.k_count);
    if (rc)
        ps_evaluation_free(out);
    free(x);
    free(label);
    return rc;
}
