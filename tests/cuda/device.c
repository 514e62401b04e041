/* ps_device_open for `make check-cuda`: ref and cuda, both linked in, so that it builds on a GPU
 * machine without the packages that the rest of the program needs. */
#include "base/process.h"
#include "net/device.h"
#include "base/err.h"

#include <string.h>

extern const struct ps_backend_ops ps_backend_ops_cuda;

ps_backend *ps_device_open(const char *name, const struct ps_backend_config *config)
{
    const struct ps_backend_ops *ops =
        strcmp(name, "ref") == 0 ? &ps_backend_ref : &ps_backend_ops_cuda;
    char message[512] = "";
    ps_backend *backend = ops->open(config, message, sizeof message);
    if (!backend)
        ps_fail(PS_EBACKEND, "device %s: %s", ops->name, message);
    return backend;
}

/* In the place of lib/base/process.c, which needs GLib. */
void ps_process_begin(const char *name)
{
    (void)name;
}
