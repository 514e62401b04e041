#include "net/profile.h"
#include "base/err.h"
#include "base/log.h"
#include "base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum part { UPDATE, FORWARD, BACKWARD, PARTS };

struct timed {
    ps_node *node;
    char text[240];
    double seconds[PARTS];
};

static struct {
    ps_backend *backend;
    const struct ps_backend_ops *real;
    struct ps_backend_ops ops;
    struct timed *nodes;
    size_t count, capacity;
} profile;

static void add(const ps_node *node, enum part part, double start)
{
    double seconds = ps_seconds() - start;
    for (size_t i = 0; i < profile.count; i++)
        if (profile.nodes[i].node == node)
            profile.nodes[i].seconds[part] += seconds;
}

static ps_node *node_new(ps_backend *be, const struct ps_op_desc *desc, enum ps_mode mode,
                         int inputs, ps_act *const *in, ps_act *out, ps_act *dout,
                         ps_act *const *din)
{
    ps_node *node = profile.real->node_new(be, desc, mode, inputs, in, out, dout, din);
    if (!node ||
        ps_grow(&profile.nodes, &profile.capacity, profile.count + 1, sizeof *profile.nodes))
        return node;
    struct timed *timed = &profile.nodes[profile.count++];
    *timed = (struct timed){.node = node};
    snprintf(timed->text, sizeof timed->text, "%s", profile.real->node_describe(be, node));
    return node;
}

/* The record is kept for the report. */
static void node_free(ps_backend *be, ps_node *node)
{
    for (size_t i = 0; i < profile.count; i++)
        if (profile.nodes[i].node == node)
            profile.nodes[i].node = NULL;
    profile.real->node_free(be, node);
}

/* The first node's description changes when it stands for all fused nodes. */
static int node_fuse(ps_backend *be, ps_node *const *nodes, int count)
{
    int rc = profile.real->node_fuse(be, nodes, count);
    for (size_t i = 0; i < profile.count && rc == 1; i++)
        if (profile.nodes[i].node == nodes[0])
            snprintf(profile.nodes[i].text, sizeof profile.nodes[i].text, "%s",
                     profile.real->node_describe(be, nodes[0]));
    return rc;
}

static int node_update(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state)
{
    double start = ps_seconds();
    int rc = profile.real->node_update(be, node, params, state);
    add(node, UPDATE, start);
    return rc;
}

static int node_forward(ps_backend *be, ps_node *node, const ps_vec *params, ps_vec *state)
{
    double start = ps_seconds();
    int rc = profile.real->node_forward(be, node, params, state);
    add(node, FORWARD, start);
    return rc;
}

static int node_backward(ps_backend *be, ps_node *node, const ps_vec *params, const ps_vec *state,
                         ps_vec *grads, bool accumulate)
{
    double start = ps_seconds();
    int rc = profile.real->node_backward(be, node, params, state, grads, accumulate);
    add(node, BACKWARD, start);
    return rc;
}

int ps_profile_start(ps_backend *backend)
{
    if (profile.backend)
        return ps_fail(PS_EINVAL, "another backend is being profiled");
    profile.backend = backend;
    profile.real = backend->ops;
    profile.ops = *backend->ops;
    profile.ops.node_new = node_new;
    profile.ops.node_free = node_free;
    profile.ops.node_forward = node_forward;
    profile.ops.node_backward = node_backward;
    if (profile.real->node_fuse)
        profile.ops.node_fuse = node_fuse;
    if (profile.real->node_update)
        profile.ops.node_update = node_update;
    backend->ops = &profile.ops;
    return PS_OK;
}

void ps_profile_reset(void)
{
    for (size_t i = 0; i < profile.count; i++)
        memset(profile.nodes[i].seconds, 0, sizeof profile.nodes[i].seconds);
}

void ps_profile_stop(void)
{
    if (profile.backend)
        profile.backend->ops = profile.real;
    free(profile.nodes);
    memset(&profile, 0, sizeof profile);
}

static double total(const struct timed *t)
{
    return t->seconds[UPDATE] + t->seconds[FORWARD] + t->seconds[BACKWARD];
}

static int slower(const void *a, const void *b)
{
    double x = total(a), y = total(b);
    return (x < y) - (x > y);
}

/* Forward FLOP of a convolution per image, parsed from its description ("conv 64x56x56 -> 128x28x28
 * k3: ...", with "64+32+32" if horizontally fused, and "g64" after the kernel if grouped); 0 for
 * other nodes. */
static double operations(const char *text)
{
    enum { IC, IH, IW, OC, OH, OW, K, NUMBERS };
    int64_t number[NUMBERS];
    if (strncmp(text, "conv ", 5) != 0)
        return 0;
    for (int i = 0; i < NUMBERS; i++) {
        int64_t more;
        text += strcspn(text, "0123456789");
        if (!ps_scan_whole(&text, &number[i]))
            return 0;
        while (*text == '+' && ps_scan_whole(&text, &more)) /* "+32" is a number */
            number[i] += more;
    }
    long groups = strncmp(text, " g", 2) == 0 ? strtol(text + 2, NULL, 10) : 1;
    return 2.0 * (double)(number[IC] * number[OC] * number[K] * number[K]) *
           (double)(number[OH] * number[OW]) / (double)groups;
}

static double rate(double operations, double seconds)
{
    return seconds > 0 ? operations / seconds / 1e9 : 0;
}

int ps_profile_report(struct ps_text *out, int batch, int steps)
{
    double sum[PARTS] = {0};
    int rc = ps_text_printf(out, "%9s %9s %9s %8s %8s  %s\n", "update ms", "forward", "backward",
                            "GFLOP/s", "backward", "operator");
    qsort(profile.nodes, profile.count, sizeof *profile.nodes, slower);
    for (size_t i = 0; i < profile.count && !rc; i++) {
        const struct timed *t = &profile.nodes[i];
        if (t->seconds[FORWARD] <= 0)
            continue;
        double ms[PARTS], work = operations(t->text) * batch * steps;
        for (int p = 0; p < PARTS; p++) {
            ms[p] = t->seconds[p] / steps * 1e3;
            sum[p] += ms[p];
        }
        rc = ps_text_printf(out, "%9.3f %9.3f %9.3f %8.0f %8.0f  %s\n", ms[UPDATE], ms[FORWARD],
                            ms[BACKWARD], rate(work, t->seconds[FORWARD]),
                            rate(2 * work, t->seconds[BACKWARD]), t->text);
    }
    return rc ? rc
              : ps_text_printf(out, "%9.3f %9.3f %9.3f %8s %8s  all\n", sum[UPDATE], sum[FORWARD],
                               sum[BACKWARD], "", "");
}
