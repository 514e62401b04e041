#include "eval/index_walk.h"
#include "eval/embedding.h"

#include <stdbool.h>
#include <string.h>

enum { DEEPEST = 8 }; /* indexes within indexes */

static const char ends_early[] = "truncated, or longer than the index in it";
static const char unknown[] = "an index of a kind that is not read";
static const char sizes[] = "sizes that do not fit each other";

struct walk {
    const uint8_t *at;
    size_t left;
    const char *fault; /* the first */
    int depth;
};

struct header {
    int32_t dim;
    uint32_t metric;
};

static void fail(struct walk *w, const char *fault)
{
    if (!w->fault)
        w->fault = fault;
    w->left = 0;
}

/* Copies the next bytes; zeros where they are not there. */
static void take(struct walk *w, void *to, size_t bytes)
{
    memset(to, 0, bytes);
    if (bytes > w->left) {
        fail(w, ends_early);
        return;
    }
    memcpy(to, w->at, bytes);
    w->at += bytes;
    w->left -= bytes;
}

static void skip(struct walk *w, size_t count, size_t size)
{
    if (count > w->left / size) {
        fail(w, ends_early);
        return;
    }
    w->at += count * size;
    w->left -= count * size;
}

static uint64_t take_u64(struct walk *w)
{
    uint64_t value;
    take(w, &value, sizeof value);
    return value;
}

static int32_t take_i32(struct walk *w)
{
    int32_t value;
    take(w, &value, sizeof value);
    return value;
}

/* Skips a vector of elements of that size; their number. */
static uint64_t skip_vector(struct walk *w, size_t size)
{
    uint64_t count = take_u64(w);
    skip(w, count, size);
    return w->fault ? 0 : count;
}

/* A bool, which holds nothing else than 0 or 1. */
static void skip_flag(struct walk *w)
{
    uint8_t flag;
    take(w, &flag, sizeof flag);
    if (flag > 1)
        fail(w, "a flag that is neither on nor off");
}

static bool is(const char tag[4], const char *name)
{
    return memcmp(tag, name, 4) == 0;
}

static struct header take_header(struct walk *w)
{
    struct header header = {.dim = take_i32(w)};
    skip(w, 3, sizeof(int64_t)); /* rows, and two that are not used */
    skip_flag(w);                /* trained? */
    take(w, &header.metric, sizeof header.metric);
    if (header.metric > 1) /* than inner product and L2; some are followed by a parameter */
        fail(w, unknown);
    return header;
}

static void walk_product_quantizer(struct walk *w)
{
    uint64_t dim = take_u64(w), parts = take_u64(w), bits = take_u64(w);
    uint64_t values = skip_vector(w, sizeof(float));
    if (parts < 1 || parts > dim || dim % parts || bits < 1 || bits > 16 || values >> bits != dim ||
        (values & ((UINT64_C(1) << bits) - 1)))
        fail(w, sizes);
}

static void walk_scalar_quantizer(struct walk *w)
{
    enum { KINDS = 7, RANGES = 4 }; /* of ScalarQuantizer's enums */
    uint32_t kind, ranges;
    take(w, &kind, sizeof kind);
    take(w, &ranges, sizeof ranges);
    if (kind >= KINDS || ranges >= RANGES)
        fail(w, unknown);
    skip(w, 1, sizeof(float));    /* how ranges were found */
    skip(w, 2, sizeof(uint64_t)); /* dimensions, bytes of a code */
    skip_vector(w, sizeof(float));
}

static void walk_graph(struct walk *w)
{
    skip_vector(w, sizeof(double));   /* probabilities of levels */
    skip_vector(w, sizeof(int32_t));  /* links up to each level */
    skip_vector(w, sizeof(int32_t));  /* levels */
    skip_vector(w, sizeof(uint64_t)); /* offsets */
    skip_vector(w, sizeof(int32_t));  /* links */
    skip(w, 5, sizeof(int32_t));      /* entry, top level, widths of searches */
}

static void walk_index(struct walk *w, const struct header *whole, const char *kinds);

static void walk_transform(struct walk *w)
{
    char tag[4];
    take(w, tag, sizeof tag);
    bool pca = is(tag, "PCAm") || is(tag, "PcAm") || is(tag, "Pcam");
    if (!pca && !is(tag, "rrot") && !is(tag, "LTra"))
        fail(w, "a transform of a kind that is not read");
    if (pca) {
        skip(w, is(tag, "Pcam") ? 2 : 1, sizeof(float));   /* power of eigenvalues, epsilon */
        skip_flag(w);                                      /* rotated? */
        skip(w, is(tag, "PCAm") ? 0 : 1, sizeof(int32_t)); /* bins */
        for (int i = 0; i < 3; i++)                        /* mean, eigenvalues, their vectors */
            skip_vector(w, sizeof(float));
    }
    skip_flag(w); /* bias? */
    skip_vector(w, sizeof(float));
    skip_vector(w, sizeof(float));
    skip(w, 2, sizeof(int32_t)); /* dimensions in and out */
    skip_flag(w);                /* trained? */
}

static void walk_transforms(struct walk *w, const struct header *header)
{
    int32_t count = take_i32(w);
    if (count < 0)
        fail(w, sizes);
    for (int32_t i = 0; i < count && !w->fault; i++)
        walk_transform(w);
    walk_index(w, header, NULL);
}

/* Sizes come for all lists, or in pairs of a list and its size. */
static void walk_lists(struct walk *w, uint64_t nlist)
{
    char tag[4];
    take(w, tag, sizeof tag);
    if (!is(tag, "ilar"))
        fail(w, "lists of a kind that is not read");
    uint64_t count = take_u64(w), code = take_u64(w);
    take(w, tag, sizeof tag);
    bool pairs = is(tag, "sprs");
    const uint8_t *at = w->at;
    uint64_t numbers = skip_vector(w, sizeof(uint64_t));
    if (count != nlist || code > INT32_MAX || (!pairs && !is(tag, "full")) ||
        (pairs ? numbers % 2 != 0 : numbers != nlist))
        fail(w, sizes);
    for (uint64_t i = 0; i < numbers && !w->fault; i++) {
        uint64_t number;
        memcpy(&number, at + sizeof number * (i + 1), sizeof number);
        if (pairs && i % 2 == 0) {
            if (number >= nlist)
                fail(w, sizes);
        } else {
            skip(w, number, code + sizeof(int64_t));
        }
    }
}

/* What comes before the lists and what belongs to their codes. */
static void walk_inverted(struct walk *w, const char tag[4], const struct header *header)
{
    enum { HASHED = 2 };
    uint64_t nlist = take_u64(w);
    skip(w, 1, sizeof(uint64_t)); /* lists that are searched */
    if (nlist > w->left)
        fail(w, sizes);
    walk_index(w, header, NULL);
    uint8_t map;
    take(w, &map, sizeof map);
    skip_vector(w, sizeof(int64_t));
    if (map == HASHED)
        skip_vector(w, 2 * sizeof(int64_t));
    if (is(tag, "IwPQ")) {
        skip_flag(w);                 /* of residuals? */
        skip(w, 1, sizeof(uint64_t)); /* bytes of a code */
        walk_product_quantizer(w);
    } else if (!is(tag, "IwFl")) {
        walk_scalar_quantizer(w);
        skip(w, 1, sizeof(uint64_t)); /* bytes of a code */
        if (is(tag, "IwSq"))
            skip_flag(w); /* of residuals? */
    }
    walk_lists(w, nlist);
}

static void walk_kind(struct walk *w, const char tag[4], const struct header *header)
{
    if (is(tag, "IxFI") || is(tag, "IxF2") || is(tag, "IxFl")) {
        skip_vector(w, sizeof(float));
    } else if (is(tag, "IxPq")) {
        walk_product_quantizer(w);
        skip_vector(w, 1);
        if (take_i32(w) != 0) /* ST_PQ: the others need tables that are not in the file */
            fail(w, unknown);
        skip_flag(w); /* and this is for them */
        skip(w, 1, sizeof(int32_t));
    } else if (is(tag, "IxSQ")) {
        walk_scalar_quantizer(w);
        skip_vector(w, 1);
    } else if (is(tag, "IHNf") || is(tag, "IHNp") || is(tag, "IHNs")) {
        walk_graph(w);
        walk_index(w, header, tag[3] == 'f' ? "IxFIIxF2IxFl" : tag[3] == 'p' ? "IxPq" : "IxSQ");
    } else if (is(tag, "IwFl") || is(tag, "IwPQ") || is(tag, "IwSQ") || is(tag, "IwSq")) {
        walk_inverted(w, tag, header);
    } else if (is(tag, "IxPT")) {
        walk_transforms(w, header);
    } else if (is(tag, "IxRF")) {
        walk_index(w, header, NULL);
        walk_index(w, header, NULL);
        skip(w, 1, sizeof(float)); /* how many more are refined */
    } else {
        fail(w, unknown);
    }
}

static bool is_one_of(const char tag[4], const char *kinds)
{
    for (; *kinds; kinds += 4)
        if (is(tag, kinds))
            return true;
    return false;
}

/* An index, or part of one. `kinds`, or NULL: the tags that it may have, one after the other. */
static void walk_index(struct walk *w, const struct header *whole, const char *kinds)
{
    char tag[4];
    take(w, tag, sizeof tag);
    if (++w->depth > DEEPEST || (!w->fault && kinds && !is_one_of(tag, kinds)))
        fail(w, unknown);
    struct header header = {0};
    if (!w->fault)
        header = take_header(w);
    if (!w->fault && (header.dim < 1 || header.dim > PS_EMBEDDING_MAX_DIM ||
                      (whole && header.metric != whole->metric)))
        fail(w, sizes);
    if (!w->fault)
        walk_kind(w, tag, &header);
    w->depth--;
}

const char *ps_index_walk(const uint8_t *bytes, size_t length)
{
    struct walk walk = {.at = bytes, .left = length};
    walk_index(&walk, NULL, NULL);
    return walk.fault ? walk.fault : walk.left ? ends_early : NULL;
}
