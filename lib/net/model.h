/*
 * Model file (man 5 ps-model): a safetensors file that is complete: every parameter and running
 * statistic by name, proxies, and in the metadata all that is needed to use it.
 */
#ifndef PS_NET_MODEL_H
#define PS_NET_MODEL_H

#include "net/net.h"
#include "weights/safetensors.h"

/* A model file opened for reading. */
struct ps_model {
    struct ps_safetensors file;
    struct ps_net_spec spec;
    int resize;     /* short side of the test transform, as METHOD.md 4 */
    size_t proxies; /* rows of proxy.weight, 0 if it has none */
    char id[33];    /* hash of the file */
};

int ps_model_open(struct ps_model *model, const char *path);
void ps_model_close(struct ps_model *model);
/* A network with the file's parameters (proxies too if `with_proxies`), ready for forward. */
ps_net *ps_model_net(const struct ps_model *model, ps_backend *backend, bool with_proxies);

/* Writes the network atomically with the metadata that ps_model_open needs, plus `metadata`
 * (pairs of name, value: recipe, provenance, class names). Extra tensors (optimiser state of a
 * checkpoint) may follow. */
int ps_model_save(const char *path, ps_net *net, int resize, const char *const *metadata,
                  size_t pairs, const struct ps_tensor *extra, size_t extras);

/*
 * Copies tensors of `file` into parameters of the same name. Names and shapes must agree; what was
 * not found in the file, and what of the file was not used, is counted and logged by name. Proxies
 * are not touched unless `with_proxies`. A wrong shape is an error that names the tensor.
 */
struct ps_load_report {
    size_t loaded, missing, unused;
};
int ps_net_load(ps_net *net, const struct ps_safetensors *file, bool with_proxies,
                struct ps_load_report *report);

#endif
