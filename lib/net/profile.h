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
 * Appends a table, slowest nodes first: milliseconds per call of update, forward and backward,
 * GFLOP/s of forward and backward for convolutions with `batch` images, and what the node is.
 */
int ps_profile_report(struct ps_text *out, int batch);
/* The backend works as before; call it before the backend is closed. */
void ps_profile_stop(void);

#endif
