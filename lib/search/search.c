#include "search/search.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/mem.h"
#include "data/image_file.h"
#include "data/quarantine.h"
#include "eval/interop.h"
#include "eval/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_ROWS = 4096, BLOCK_FOUND = 1 << 22 };

/* Queries that are searched together, and what was found. */
struct block {
    const struct ps_search *search;
    size_t k;
    int64_t *self;
    int64_t *row; /* (rows, k) */
    float *score; /* (rows, k) */
};

/* For as many queries as *rows at most, which is set to fewer where memory says so. */
static int block_new(struct block *block, const struct ps_search *search, size_t *rows)
{
    size_t n = search->gallery->rows.n, k = search->k < n ? search->k : n;
    size_t most = BLOCK_FOUND / k + 1;
    if (most > BLOCK_ROWS)
        most = BLOCK_ROWS;
    if (*rows > most)
        *rows = most;
    *block = (struct block){.search = search,
                            .k = k,
                            .self = ps_calloc(*rows, sizeof *block->self),
                            .row = ps_calloc(*rows * k, sizeof *block->row),
                            .score = ps_calloc(*rows * k, sizeof *block->score)};
    return block->self && block->row && block->score ? PS_OK : PS_ENOMEM;
}

static void block_free(struct block *block)
{
    free(block->self);
    free(block->row);
    free(block->score);
}

static int block_search(struct block *block, const float *x, size_t queries)
{
    const struct ps_search *search = block->search;
    return ps_gallery_search(search->gallery, x, queries, search->drop_self ? block->self : NULL,
                             block->k, block->row, block->score);
}

static int write_answer(const struct block *block, size_t q, const char *query,
                        const struct ps_asked *asked)
{
    const struct ps_search *search = block->search;
    struct ps_answer answer = {
        .query = query, .row = block->row + q * block->k, .score = block->score + q * block->k};
    while (answer.count < block->k && answer.row[answer.count] >= 0 &&
           (double)answer.score[answer.count] >= search->min_score)
        answer.count++;
    int rc = ps_answer_write(&answer, &search->style, search->gallery, search->stream);
    if (!rc && search->page)
        rc = ps_page_add(search->page, &answer, asked);
    return rc;
}

/* Whether it is worth going on. */
static int check_stream(const struct ps_search *search)
{
    if (ps_interrupted())
        return ps_fail_interrupted();
    return ferror(search->stream) ? ps_fail(PS_EIO, "cannot write the answers") : PS_OK;
}

static int write_row(const struct block *block, size_t q, const struct ps_embedding *e, size_t i)
{
    char id[32];
    snprintf(id, sizeof id, "%lld", (long long)e->id[i]);
    return write_answer(block, q, e->name ? e->name[i] : id,
                        &(struct ps_asked){.from = e, .row = i});
}

static int search_rows(const struct ps_search *search, const struct ps_embedding *e)
{
    struct block block;
    size_t rows = e->n;
    int rc = block_new(&block, search, &rows);
    for (size_t from = 0; from < e->n && !rc; from += rows) {
        size_t count = e->n - from < rows ? e->n - from : rows;
        for (size_t i = 0; i < count && search->drop_self; i++)
            block.self[i] = ps_gallery_find(search->gallery, e->id[from + i]);
        rc = block_search(&block, e->x + from * e->dim, count);
        for (size_t i = 0; i < count && !rc; i++) {
            rc = write_row(&block, i, e, from + i);
            if (!rc)
                rc = check_stream(search);
        }
    }
    block_free(&block);
    return rc;
}

/* Do the ids of both name the same pictures? */
static int check_ids(const struct ps_embedding *e, const struct ps_embedding *rows)
{
    const char *own = ps_embedding_meta(rows, "shard_id"),
               *other = ps_embedding_meta(e, "shard_id");
    if (own && other && strcmp(own, other) != 0)
        return ps_fail(PS_EMISMATCH,
                       "%s and %s are of different shards, so that equal ids name different "
                       "pictures (leave out --self drop)",
                       e->file, rows->file);
    return PS_OK;
}

int ps_search_embeddings(const struct ps_search *search, const char *path)
{
    struct ps_embedding e;
    int rc = ps_embedding_load(&e, path, NULL);
    if (rc)
        return rc;
    rc = ps_gallery_fits(search->gallery, e.file, ps_embedding_meta(&e, "model_id"), e.dim);
    if (!rc && search->drop_self)
        rc = check_ids(&e, &search->gallery->rows);
    if (!rc)
        rc = ps_protocol_keep(&e, PS_ROLE_QUERY);
    if (!rc)
        rc = search_rows(search, &e);
    ps_embedding_free(&e);
    return rc;
}

static int search_picture(struct block *block, struct ps_embedder *embedder,
                          const struct ps_picture *picture, float *x)
{
    struct ps_record record = ps_picture_record(picture);
    int rc = ps_embedder_put(embedder, picture, 1, 0, 1);
    if (!rc)
        rc = ps_embedder_run(embedder, 1, 1, x);
    if (!rc)
        rc = block_search(block, x, 1);
    if (!rc)
        rc = write_answer(block, 0, picture->name, &(struct ps_asked){.picture = &record});
    fflush(block->search->stream);
    return rc ? rc : check_stream(block->search);
}

int ps_search_pictures(const struct ps_search *search, ps_feed *feed, struct ps_embedder *embedder,
                       const char *quarantine)
{
    struct block block = {0};
    struct ps_quarantine broken;
    struct ps_picture picture;
    size_t rows = 1, all = 0;
    int more, rc = ps_quarantine_open(&broken, quarantine);
    if (rc)
        return rc;
    float *x = ps_calloc(embedder->dim, sizeof *x);
    rc = x ? block_new(&block, search, &rows) : PS_ENOMEM;
    for (; !rc && (more = ps_feed_next(feed, &picture)); all++) {
        rc = more < 0 ? more : ps_picture_check(&picture);
        if (!rc)
            rc = search_picture(&block, embedder, &picture, x);
        else if (more > 0 && ps_is_image_fault(rc))
            rc = ps_quarantine_add(&broken, picture.name, "",
                                   picture.class_name ? picture.class_name : "", ps_error());
        ps_picture_free(&picture);
    }
    block_free(&block);
    free(x);
    return ps_quarantine_close(&broken, rc, all, "ps-search");
}
