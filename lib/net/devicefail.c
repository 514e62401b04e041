/* Error reporting for an open device; apart from device.c, which needs dlopen. */
#include "base/err.h"
#include "net/device.h"

int ps_device_fail(const ps_backend *backend)
{
    const struct ps_backend_ops *ops = backend->ops;
    bool memory = ops->out_of_memory && ops->out_of_memory(backend);
    return ps_fail(memory ? PS_ENOMEM : PS_EBACKEND, "%s: %s", ops->name, ops->error(backend));
}

int ps_device_suggest(int rc, size_t batch, bool checkpoint)
{
    const char *less = checkpoint ? "--checkpoint-activations" : "";
    if (rc != PS_ENOMEM || (batch < 2 && !checkpoint))
        return rc;
    if (batch < 2)
        return ps_fail(rc, "%s (try %s)", ps_error(), less);
    return ps_fail(rc, "%s (try %s%sa batch size of %zu)", ps_error(), less,
                   checkpoint ? " or " : "", batch / 2);
}

void ps_device_close(ps_backend *backend)
{
    if (backend)
        backend->ops->close(backend);
}
