#include "net/segments.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { NONE = -1 };

/* The border before a node. */
struct border {
    int value;   /* that passes it; NONE: there are several, and it is no place to cut */
    size_t cost; /* bytes of the values that pass the cuts up to here, this one included */
    int from;    /* the cut before it */
};

/* The node that reads each value last. */
static void find_last_readers(const struct ps_graph *graph, int *last)
{
    int nodes = (int)graph->node_count;
    for (size_t v = 0; v < graph->value_count; v++)
        last[v] = NONE;
    for (int i = 0; i < nodes; i++)
        for (int k = 0; k < graph->nodes[i].inputs; k++)
            last[graph->nodes[i].in[k]] = i;
    last[graph->pooled] = last[graph->output] = nodes;
    last[PS_GRAPH_IMAGE] = NONE;
}

static void find_borders(const struct ps_graph *graph, const int *last, struct border *border)
{
    int nodes = (int)graph->node_count;
    for (int p = 1; p < nodes; p++) {
        int passing = 0;
        for (int i = 0; i < p; i++)
            if (last[graph->nodes[i].out] >= p) {
                border[p].value = graph->nodes[i].out;
                passing++;
            }
        if (passing != 1)
            border[p].value = NONE;
    }
}

/* The cheapest way to each border, over segments that are small enough or cannot be cut. */
static void find_ways(const struct ps_graph *graph, const size_t *bytes, size_t most,
                      struct border *border)
{
    int nodes = (int)graph->node_count;
    for (int p = 1; p <= nodes; p++) {
        bool end = p == nodes, found = false;
        if (!end && border[p].value == NONE)
            continue;
        size_t own = end ? 0 : bytes[border[p].value], inside = 0;
        border[p].cost = SIZE_MAX;
        for (int q = p - 1; q >= 0; q--) {
            if (graph->nodes[q].out != border[p].value || end)
                inside += bytes[graph->nodes[q].out];
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
    int *last = ps_calloc(graph->value_count, sizeof *last);
    if (border && last) {
        find_last_readers(graph, last);
        find_borders(graph, last, border);
        find_ways(graph, bytes, most, border);
        for (int p = nodes; p > 0; p = border[p].from)
            count++;
        for (int p = nodes, s = count; p > 0; p = border[p].from)
            for (int i = border[p].from, number = --s; i < p; i++)
                segment[i] = number;
    }
    bool failed = !border || !last;
    free(border);
    free(last);
    return failed ? PS_ENOMEM : count;
}
