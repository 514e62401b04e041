#include "eval/shortlist.h"
#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPARE = 128,     /* room beyond 2 k, for those that are nearly as near as the k-th */
    LEAST_FREE = 32, /* places that a list must have free after what is too far was dropped */
    STRIDE = 32      /* similarities looked at together: mostly none is of interest */
};

static const uint32_t crowded = UINT32_MAX; /* count of a list that could not hold all */

/* Bits that compare as the numbers do. */
static ps_near make_near(float similarity, uint32_t column)
{
    uint32_t bits;
    memcpy(&bits, &similarity, sizeof bits);
    bits ^= bits >> 31 ? UINT32_MAX : UINT32_C(1) << 31;
    return (ps_near)bits << 32 | (uint32_t)~column;
}

float ps_near_similarity(ps_near near)
{
    uint32_t bits = (uint32_t)(near >> 32);
    bits ^= bits >> 31 ? UINT32_C(1) << 31 : UINT32_MAX;
    float similarity;
    memcpy(&similarity, &bits, sizeof similarity);
    return similarity;
}

uint32_t ps_near_column(ps_near near)
{
    return ~(uint32_t)near;
}

static size_t capacity_for(size_t k)
{
    return 2 * k + SPARE;
}

size_t ps_shortlists_bytes(size_t rows, size_t k)
{
    return rows * (capacity_for(k) * sizeof(ps_near) + sizeof(uint32_t) + sizeof(float));
}

int ps_shortlists_init(struct ps_shortlists *lists, size_t rows, size_t k, float gap,
                       const int64_t *self)
{
    *lists = (struct ps_shortlists){
        .rows = rows, .k = k, .capacity = capacity_for(k), .gap = gap, .self = self};
    lists->list = ps_calloc(rows * lists->capacity, sizeof *lists->list);
    lists->count = ps_calloc(rows, sizeof *lists->count);
    lists->threshold = ps_calloc(rows, sizeof *lists->threshold);
    if (!lists->list || !lists->count || !lists->threshold) {
        ps_shortlists_free(lists);
        return PS_ENOMEM;
    }
    for (size_t i = 0; i < rows; i++)
        lists->threshold[i] = -INFINITY;
    return PS_OK;
}

void ps_shortlists_free(struct ps_shortlists *lists)
{
    free(lists->list);
    free(lists->count);
    free(lists->threshold);
    *lists = (struct ps_shortlists){0};
}

/* Reorders list[0..n) so that list[k] is what it would be if sorted, nearer ones before it (Hoare's
 * selection). */
static void select_nearest(ps_near *list, size_t n, size_t k)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        ps_near pivot = list[low + (high - low) / 2];
        size_t i = low, j = high;
        while (true) {
            while (list[i] > pivot)
                i++;
            while (list[j] < pivot)
                j--;
            if (i >= j)
                break;
            ps_near swap = list[i];
            list[i++] = list[j];
            list[j--] = swap;
        }
        if (k <= j) /* low..j are no farther than the rest */
            high = j;
        else
            low = j + 1;
    }
}

/* Drops what is farther than the k-th by more than the gap. */
static void shrink(struct ps_shortlists *lists, size_t row)
{
    ps_near *list = lists->list + row * lists->capacity;
    size_t n = lists->count[row], kept = 0;
    select_nearest(list, n, lists->k - 1);
    float limit = nextafterf(ps_near_similarity(list[lists->k - 1]) - lists->gap, -INFINITY);
    for (size_t i = 0; i < n; i++)
        if (ps_near_similarity(list[i]) >= limit)
            list[kept++] = list[i];
    bool full = kept + LEAST_FREE > lists->capacity;
    lists->count[row] = full ? crowded : (uint32_t)kept;
    lists->threshold[row] = full ? INFINITY : limit;
}

static void put(struct ps_shortlists *lists, size_t row, float similarity, size_t column)
{
    if (lists->self && lists->self[row] == (int64_t)column)
        return;
    ps_near *list = lists->list + row * lists->capacity;
    list[lists->count[row]++] = make_near(similarity, (uint32_t)column);
    if (lists->count[row] == lists->capacity)
        shrink(lists, row);
}

void ps_shortlists_add(struct ps_shortlists *lists, const struct ps_near_block *block)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < block->m; i++) {
        const float *s = block->similarity + i * block->n;
        size_t row = block->row + i;
        for (size_t from = 0; from < block->n; from += STRIDE) {
            size_t end = block->n - from < STRIDE ? block->n : from + STRIDE;
            float threshold = lists->threshold[row];
            int any = 0;
#pragma omp simd reduction(| : any)
            for (size_t j = from; j < end; j++)
                any |= s[j] >= threshold;
            for (size_t j = from; any && j < end; j++)
                if (s[j] >= lists->threshold[row])
                    put(lists, row, s[j], block->column + j);
        }
    }
}

void ps_shortlists_add_transposed(struct ps_shortlists *lists, const struct ps_near_block *block)
{
    const float *threshold = lists->threshold + block->column;
#pragma omp parallel for schedule(static)
    for (size_t from = 0; from < block->n; from += STRIDE) {
        size_t end = block->n - from < STRIDE ? block->n : from + STRIDE;
        for (size_t i = 0; i < block->m; i++) {
            const float *s = block->similarity + i * block->n;
            int any = 0;
#pragma omp simd reduction(| : any)
            for (size_t j = from; j < end; j++)
                any |= s[j] >= threshold[j];
            for (size_t j = from; any && j < end; j++)
                if (s[j] >= threshold[j])
                    put(lists, block->column + j, s[j], block->row + i);
        }
    }
}

static int nearer_first(const void *a, const void *b)
{
    ps_near x = *(const ps_near *)a, y = *(const ps_near *)b;
    return (x < y) - (x > y);
}

bool ps_shortlists_take(struct ps_shortlists *lists, size_t row, const ps_near **list,
                        size_t *count)
{
    if (lists->count[row] == crowded)
        return false;
    *list = lists->list + row * lists->capacity;
    *count = lists->count[row];
    if (*count > lists->k) { /* those that are of no interest need no sorting */
        shrink(lists, row);
        if (lists->count[row] == crowded)
            return false;
        *count = lists->count[row];
    }
    qsort(lists->list + row * lists->capacity, *count, sizeof **list, nearer_first);
    return true;
}
