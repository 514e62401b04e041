/* Choosing a backend: "auto", "cpu", "ref", "cuda", "cuda:1". */
#ifndef PS_NET_DEVICE_H
#define PS_NET_DEVICE_H

#include "kernels/backend.h"

/*
 * Opens a device; NULL with the error recorded. "auto" chooses cuda if its plugin loads and finds a
 * device, otherwise cpu, and logs the choice. The plugin ps-cuda.so is searched beside the program
 * and in ../lib/ps relative to it. Close with ps_device_close.
 */
ps_backend *ps_device_open(const char *name, const struct ps_backend_config *config);
void ps_device_close(ps_backend *backend);

/* Records the backend's failure as "cpu: reason"; returns PS_ENOMEM if device memory ran out, else
 * PS_EBACKEND. */
int ps_device_fail(const ps_backend *backend);
/* If rc is PS_ENOMEM, adds a hint to the message: a smaller batch and, with `checkpoint`,
 * --checkpoint-activations. Returns rc. */
int ps_device_suggest(int rc, size_t batch, bool checkpoint);

#endif
