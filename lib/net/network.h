/* The struct behind ps_net, for net.c and pass.c alone. */
#ifndef PS_NET_NETWORK_H
#define PS_NET_NETWORK_H

#include "net/device.h"
#include "net/graph.h"
#include "net/net.h"
#include "net/plan.h"

enum { PS_NET_PLANS = 2 };

/* A plan and what it was made for. */
struct ps_prepared {
    ps_plan *plan; /* NULL: free */
    bool placed;   /* on the network's memory */
    enum ps_mode mode;
    size_t batch;
    ps_vec *embedding;   /* (batch, dim) */
    uint64_t generation; /* of the parameters it has derived its own from */
    uint64_t used;       /* when last */
};

struct ps_net {
    ps_backend *backend;
    struct ps_net_spec spec;
    struct ps_params table;
    struct ps_graph graph;
    size_t proxies;
    ps_vec *params, *gradients, *state;
    ps_vec *spare_state; /* moved by what backward runs again; NULL until needed */
    ps_mem *memory;      /* activations of all plans: one runs at a time */
    size_t memory_bytes;
    bool checkpoint; /* activations in training */
    /* Inference in slices. */
    size_t image_bytes;         /* activations of an image; 0: not known yet */
    size_t sliced;              /* images of the last forward, if it was in slices, else 0 */
    ps_vec *embedding, *pooled; /* (sliced, dim), (sliced, pooled_channels) */
    size_t pooled_channels;
    uint64_t generation, clock;
    struct ps_prepared plans[PS_NET_PLANS];
    struct ps_prepared *last; /* of the last forward */
    const uint8_t *staged;    /* images of the next forward, or NULL */
    size_t staged_batch;
    bool only_infer;  /* parameters go once a plan has taken what it needs of them */
    bool can_go_back; /* a TRAIN forward was made, and no backward since */
};

/* NULL with the error recorded. */
ps_vec *ps_net_vector(const ps_net *net, size_t n);
/* Records a failed call of the backend. */
static inline int ps_net_check(const ps_net *net, int failed)
{
    return failed ? ps_device_fail(net->backend) : 0;
}

/* Frees all plans. */
void ps_net_drop_plans(ps_net *net);

#endif
