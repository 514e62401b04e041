#include "search/answer.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/tsv.h"

#include <math.h>
#include <stdlib.h>

static const double temperature = 0.07;

/* Puts text as a cell of the table, or a string of JSON. */
static int put(const char *text, const struct ps_answer_style *style, FILE *stream)
{
    json_t *string = style->json ? json_string(text) : NULL;
    char *cell = !style->json ? ps_tsv_escape(text)
                 : string     ? ps_json_dump(string, JSON_ENCODE_ANY)
                              : NULL;
    json_decref(string);
    if (!cell)
        return style->json && !string
                   ? ps_fail(PS_EFORMAT, "'%s' is not UTF-8, which JSON has to be", text)
                   : PS_ENOMEM;
    fputs(cell, stream);
    free(cell);
    return PS_OK;
}

static int put_class(const struct ps_gallery *gallery, int64_t row,
                     const struct ps_answer_style *style, FILE *stream)
{
    char number[32];
    int length;
    const char *class = ps_gallery_class(gallery, row, number, &length);
    char *name = ps_asprintf("%.*s", length, class);
    int rc = name ? put(name, style, stream) : PS_ENOMEM;
    free(name);
    return rc;
}

int ps_answer_begin(const struct ps_answer_style *style, const struct ps_gallery *gallery,
                    FILE *stream)
{
    if (style->json)
        return PS_OK;
    const char *shard = ps_embedding_meta(&gallery->rows, "shard_id");
    const char *model = ps_embedding_meta(&gallery->rows, "model_id");
    char *text = ps_asprintf("%s shard_id=%s model_id=%s", gallery->rows.file, shard ? shard : "",
                             model ? model : "");
    if (!text)
        return PS_ENOMEM;
    fputs("# gallery: ", stream);
    int rc = put(text, style, stream);
    fputs(style->vote ? "\nquery\tclass\tshare\n" : "\nquery\trank\tscore\tid\tname\tclass\n",
          stream);
    free(text);
    return rc;
}

static int put_neighbour(const struct ps_answer *answer, size_t i,
                         const struct ps_answer_style *style, const struct ps_gallery *gallery,
                         FILE *stream)
{
    const struct ps_embedding *rows = &gallery->rows;
    int64_t row = answer->row[i];
    fputs(style->json ? "{\"query\":" : "", stream);
    int rc = put(answer->query, style, stream);
    fprintf(stream,
            style->json ? ",\"rank\":%zu,\"score\":%.6f,\"id\":%lld,\"name\":"
                        : "\t%zu\t%.6f\t%lld\t",
            i + 1, (double)answer->score[i], (long long)rows->id[row]);
    if (!rc)
        rc = put(rows->name ? rows->name[row] : "", style, stream);
    fputs(style->json ? ",\"class\":" : "\t", stream);
    if (!rc)
        rc = put_class(gallery, row, style, stream);
    fputs(style->json ? "}\n" : "\n", stream);
    return rc;
}

static int put_vote(const struct ps_answer *answer, const struct ps_answer_style *style,
                    const struct ps_gallery *gallery, FILE *stream)
{
    double share = 0;
    int64_t first = ps_answer_vote(answer, gallery, &share);
    fputs(style->json ? "{\"query\":" : "", stream);
    int rc = put(answer->query, style, stream);
    fputs(style->json ? ",\"class\":" : "\t", stream);
    if (!rc)
        rc = first < 0 ? put("", style, stream)
                       : put_class(gallery, answer->row[first], style, stream);
    fprintf(stream, style->json ? ",\"share\":%.6f}\n" : "\t%.6f\n", share);
    return rc;
}

int ps_answer_write(const struct ps_answer *answer, const struct ps_answer_style *style,
                    const struct ps_gallery *gallery, FILE *stream)
{
    if (style->vote)
        return put_vote(answer, style, gallery, stream);
    int rc = PS_OK;
    for (size_t i = 0; i < answer->count && !rc; i++)
        rc = put_neighbour(answer, i, style, gallery, stream);
    return rc;
}

int64_t ps_answer_vote(const struct ps_answer *answer, const struct ps_gallery *gallery,
                       double *share)
{
    const int64_t *label = gallery->rows.label;
    int64_t best = -1;
    double most = 0, total = 0;
    for (size_t i = 0; i < answer->count; i++) {
        int64_t class = label[answer->row[i]];
        double sum = 0;
        bool first = class != PS_NO_CLASS;
        for (size_t j = 0; j < answer->count && first; j++) {
            if (label[answer->row[j]] != class)
                continue;
            first = j >= i;
            sum += exp(((double)answer->score[j] - (double)answer->score[0]) / temperature);
        }
        if (!first)
            continue;
        total += sum;
        if (sum > most) {
            most = sum;
            best = (int64_t)i;
        }
    }
    *share = total > 0 ? most / total : 0;
    return best;
}
