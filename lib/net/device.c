#include "net/device.h"
#include "base/err.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/plugin.h"
#include "kernels/levels.h"

#include <string.h>

static ps_backend *open_with(const struct ps_backend_ops *ops,
                             const struct ps_backend_config *config)
{
    char message[512] = "";
    ps_backend *backend = ops->open(config, message, sizeof message);
    if (!backend)
        ps_fail(PS_EBACKEND, "device %s: %s", ops->name, message);
    return backend;
}

static const struct ps_backend_ops *load_cuda(void)
{
    const struct ps_backend_ops *ops = ps_plugin_load("ps-cuda.so", "ps_backend_ops_cuda");
    if (!ops) {
        ps_fail(PS_ENOTSUP, "device cuda: %s (build where nvcc is found, or use --device cpu)",
                ps_error());
        return NULL;
    }
    if (ops->interface == PS_BACKEND_INTERFACE)
        return ops;
    ps_fail(PS_ENOTSUP, "device cuda: ps-cuda.so belongs to another build (run make cuda again)");
    return NULL;
}

static ps_backend *open_cuda(const char *number, const struct ps_backend_config *config)
{
    const struct ps_backend_ops *ops = load_cuda();
    struct ps_backend_config numbered = *config;
    numbered.device = number;
    return ops ? open_with(ops, &numbered) : NULL;
}

static ps_backend *open_auto(const struct ps_backend_config *config)
{
    ps_backend *backend = open_cuda(NULL, config);
    if (!backend) {
        ps_debug("%s", ps_error());
        backend = open_with(ps_backend_cpu(), config);
    }
    if (backend)
        ps_info("device %s: %s", backend->ops->name, backend->ops->describe(backend));
    return backend;
}

static ps_backend *open_named(const char *name, const struct ps_backend_config *config)
{
    if (!strcmp(name, "cpu"))
        return open_with(ps_backend_cpu(), config);
    if (!strcmp(name, "ref"))
        return open_with(&ps_backend_ref, config);
    if (!strcmp(name, "cuda"))
        return open_cuda(NULL, config);
    if (!strncmp(name, "cuda:", 5) && name[5] && strspn(name + 5, "0123456789") == strlen(name + 5))
        return open_cuda(name + 5, config);
    ps_fail(PS_EUSAGE, "device '%s' is not one of auto, cpu, ref, cuda, cuda:N", name);
    return NULL;
}

ps_backend *ps_device_open(const char *name, const struct ps_backend_config *config)
{
    struct ps_backend_config counted = *config;
    if (counted.threads <= 0)
        counted.threads = ps_cpu_count();
    if (!strcmp(name, "auto"))
        return open_auto(&counted);
    ps_backend *backend = open_named(name, &counted);
    if (backend)
        ps_debug("device %s: %s", backend->ops->name, backend->ops->describe(backend));
    return backend;
}
