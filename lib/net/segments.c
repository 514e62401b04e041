#include "net/segments.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { NONE = -1 };

/* The boundary before a node. */
struct border {
    int value;   /* the single value that crosses it; NONE: several do, no cut possible */
    size_t cost; /* bytes of the values that cross the cuts up to and including this one */
    int from;    /* the previous cut */
};

/* Last writer and last reader of each value. */
struct life {
    int made, read;
};

static void find_lives(const struct ps_graph *graph, struct life *lives)
{
    int nodes = (int)graph->node_count;
    for (size_t v = 0; v < graph->value_count; v++)
        lives[v] = (struct life){NONE, NONE};
    for (int i = 0; i < nodes; i++) {
        lives[graph->nodes[i].out].made = i;
        for (int k = 0; k < graph->nodes[i].inputs; k++)
            lives[graph->nodes[i].in[k]].read = i;
    }
    lives[graph->pooled].read = lives[graph->output].read = nodes;
    lives[PS_GRAPH_IMAGE].read = NONE;
}

/* No cut while a value is only partly written (in-place concat). */
static void find_borders(const struct ps_graph *graph, const struct life *lives,
                         struct border *border)
{
    int nodes = (int)graph->node_count;
    for (int p = 1; p < nodes; p++) {
        int passing = 0;
        bool in_part = false;
        for (int i = 0; i < p; i++) {
            int value = graph->nodes[i].out;
            in_part |= lives[value].made >= p;
            if (lives[value].made != i || lives[value].read < p)
                continue;
            border[p].value = value;
            passing++;
        }
        if (passing != 1 || in_part)
            border[p].value = NONE;
    }
}

/* Dynamic programming: cheapest cuts up to each boundary, with segments that are small enough or
 * cannot be cut. */
static void find_ways(const struct ps_graph *graph, const struct life *lives, const size_t *bytes,
                      size_t most, struct border *border)
{
    int nodes = (int)graph->node_count;
    for (int p = 1; p <= nodes; p++) {
        bool end = p == nodes, found = false;
        if (!end && border[p].value == NONE)
            continue;
        size_t own = end ? 0 : bytes[border[p].value], inside = 0;
        border[p].cost = SIZE_MAX;
        for (int q = p - 1; q >= 0; q--) {
            int value = graph->nodes[q].out;
            if (lives[value].made == q && (value != border[p].value || end))
                inside += bytes[value];
            if (q && border[q].value == NONE)
                continue;
            if (inside > most && found)
                break;
            found = true;
            if (border[q].cost + own < border[p].cost) {
                border[p].cost = border[q].cost + own;
                border[p].from = q;
            }
        }
    }
}

int ps_graph_segments(const struct ps_graph *graph, const size_t *bytes, size_t most, int *segment)
{
    int nodes = (int)graph->node_count, count = 0;
    struct border *border = ps_calloc((size_t)nodes + 1, sizeof *border);
    struct life *lives = ps_calloc(graph->value_count, sizeof *lives);
    if (border && lives) {
        find_lives(graph, lives);
        find_borders(graph, lives, border);
        find_ways(graph, lives, bytes, most, border);
        for (int p = nodes; p > 0; p = border[p].from)
            count++;
        for (int p = nodes, s = count; p > 0; p = border[p].from)
            for (int i = border[p].from, number = --s; i < p; i++)
                segment[i] = number;
    }
    bool failed = !border || !lives;
    free(border);
    free(lives);
    return failed ? PS_ENOMEM : count;
}
