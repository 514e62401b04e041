/* struct ps_net; internal to net.c and pass.c. */
#ifndef PS_NET_NETWORK_H
#define PS_NET_NETWORK_H

#include "net/device.h"
#include "net/graph.h"
#include "net/net.h"
#include "net/plan.h"

enum { PS_NET_PLANS = 2 };

/* What plans derive from parameters: one plan, or several that share it. */
struct ps_derived {
    size_t users;
    uint64_t generation; /* of the parameters it was last derived from */
};

/* A cached plan and its key. */
struct ps_prepared {
    ps_plan *plan; /* NULL: free */
    bool placed;   /* prepared on the network's memory */
    enum ps_mode mode;
    size_t batch;
    ps_vec *embedding; /* (batch, dim) */
    struct ps_derived *derived;
    uint64_t used; /* time of last use */
};

struct ps_net {
    ps_backend *backend;
    struct ps_net_spec spec;
    struct ps_params table;
    struct ps_graph graph;
    size_t proxies;
    struct ps_net *owner; /* a lane's network, which owns the parameters; or NULL */
    struct ps_net *lanes; /* the first; each lane's `beside` is the next */
    struct ps_net *beside;
    ps_vec *params, *gradients, *state;
    ps_vec *spare_state; /* scratch state for recomputation; NULL until needed */
    ps_mem *memory;      /* activations, shared by all plans */
    size_t memory_bytes;
    bool checkpoint; /* activation checkpointing */
    /* Inference in slices. */
    size_t image_bytes;         /* activation bytes per image; 0: not known yet */
    size_t sliced;              /* batch of the last forward if it was sliced, else 0 */
    ps_vec *embedding, *pooled; /* (sliced, dim), (sliced, pooled_channels) */
    size_t pooled_channels, dim;
    uint64_t *generation, own_generation, clock; /* a lane's generation is its network's */
    struct ps_prepared plans[PS_NET_PLANS];
    struct ps_prepared *last; /* of the last forward */
    const uint8_t *staged;    /* images of the next forward, or NULL */
    size_t staged_batch;
    bool only_infer;  /* parameters are freed once a plan has packed them */
    bool can_go_back; /* a TRAIN forward without a backward yet */
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
