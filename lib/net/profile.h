/*
 * Per-operator profiling, for backends that compute synchronously (ref, cpu).
 */
#ifndef PS_NET_PROFILE_H
#define PS_NET_PROFILE_H

#include "base/mem.h"
#include "kernels/backend.h"

/* Times nodes created from now on. One backend at a time; 0 or PS_EINVAL. */
int ps_profile_start(ps_backend *backend);
/* Discards measurements so far (warm-up). */
void ps_profile_reset(void);
/*
 * Appends a table, slowest nodes first: milliseconds per step (of `steps`) of update, forward and
 * backward; for convolutions GFLOP/s at this batch size; and a description of the node.
 */
int ps_profile_report(struct ps_text *out, int batch, int steps);
/* Restores the backend; call it before closing the backend. */
void ps_profile_stop(void);

#endif
