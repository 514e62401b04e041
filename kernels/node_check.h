/*
 * Checks of an operator's description that all backends share: does it fit its activations, and how
 * long must the vectors of its parameters be? Every backend's struct ps_act begins with a struct
 * ps_shape.
 */
#ifndef PS_KERNELS_NODE_CHECK_H
#define PS_KERNELS_NODE_CHECK_H

#include "kernels/backend.h"

enum { PS_NODE_INPUTS = 8 }; /* of one operator, at most */

/* The arguments of node_new. */
struct ps_node_request {
    const struct ps_op_desc *desc;
    enum ps_mode mode;
    int inputs;
    ps_act *const *in;
    const ps_act *out, *dout;
    ps_act *const *din;
};

struct ps_node_facts {
    size_t params, state; /* minimum lengths of the two vectors */
    char text[100];       /* "conv 64x56x56 -> 64x56x56 k3 s1" */
};

/* 0, or -1 with the reason in message[0..size). */
int ps_node_check(const struct ps_node_request *request, struct ps_node_facts *facts, char *message,
                  size_t size);

/* Is the last input a residual? */
bool ps_node_has_residual(const struct ps_op_desc *desc);

bool ps_same_shape(struct ps_shape a, struct ps_shape b);

#endif
