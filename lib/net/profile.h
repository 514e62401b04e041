/*
 * Where the time of a network goes: while on, a backend's operators are timed one by one. Meant for
 * backends that have finished when a call returns (ref, cpu).
 */
#ifndef PS_NET_PROFILE_H
#define PS_NET_PROFILE_H

#include "base/mem.h"
#include "kernels/backend.h"

/* Nodes made from now on are timed. One backend at a time; 0 or PS_EINVAL. */
int ps_profile_start(ps_backend *backend);
/* Forgets what was measured so far (warm-up). */
void ps_profile_reset(void);
/*
 * Appends a table, slowest nodes first: milliseconds a step of update, forward and backward, if
 * there were `steps`; of convolutions GFLOP/s forward and backward for `batch` images; and what the
 * node is.
 */
int ps_profile_report(struct ps_text *out, int batch, int steps);
/* The backend works as before; call it before the backend is closed. */
void ps_profile_stop(void);

#endif
