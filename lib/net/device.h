/* Choosing a backend: "auto", "cpu", "ref", "cuda", "cuda:1". */
#ifndef PS_NET_DEVICE_H
#define PS_NET_DEVICE_H

#include "kernels/backend.h"

/*
 * The cuda backend is a plugin, ps-cuda.so, beside the program or in ../lib/ps from there.
 * Opens a device; NULL with the reason recorded. "auto" takes cuda where its plugin loads and finds
 * a device, else cpu, and logs which. Close with ps_device_close.
 */
ps_backend *ps_device_open(const char *name, const struct ps_backend_config *config);
void ps_device_close(ps_backend *backend);

/* Records a backend's failure as "cpu: reason" and returns its code: PS_ENOMEM where the device's
 * memory was too small, else PS_EBACKEND. */
int ps_device_fail(const ps_backend *backend);
/* Adds to the message of PS_ENOMEM what to try: a batch smaller than this one and, with
 * `checkpoint`, --checkpoint-activations. Returns rc. For those who hand rc to the user. */
int ps_device_suggest(int rc, size_t batch, bool checkpoint);

#endif
