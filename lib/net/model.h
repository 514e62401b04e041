/*
 * Model file (ps-model(5)): a self-contained safetensors file with all parameters, running
 * statistics and proxies, and with architecture and input normalisation as metadata.
 */
#ifndef PS_NET_MODEL_H
#define PS_NET_MODEL_H

#include "net/net.h"
#include "weights/safetensors.h"

/* A model file opened for reading. */
struct ps_model {
    struct ps_safetensors file;
    struct ps_net_spec spec;
    int resize;     /* short side of test images before the crop (Input in ps-method(7)) */
    size_t proxies; /* rows of proxy.weight; 0: none */
    char id[33];    /* hash of the file */
};

int ps_model_open(struct ps_model *model, const char *path);
void ps_model_close(struct ps_model *model);
/* A network with the file's parameters (and proxies if `with_proxies`). NULL with the error
 * recorded. */
ps_net *ps_model_net(const struct ps_model *model, ps_backend *backend, bool with_proxies);

/* Writes the network atomically, with additional `metadata` (pairs of name and value: recipe,
 * provenance, class names) and `extra` tensors (optimiser state of a checkpoint). */
int ps_model_save(const char *path, ps_net *net, int resize, const char *const *metadata,
                  size_t pairs, const struct ps_tensor *extra, size_t extras);

/*
 * Copies tensors of `file` to parameters of the same name. Missing and unused tensors are counted
 * and listed in the log. Proxies are loaded only if `with_proxies`. A wrong shape is an error that
 * names the tensor, but an embedding layer or proxies of another shape are left as they are, with a
 * warning. A file of a deeper network (ps_load_is_inside) is PS_EMISMATCH.
 */
struct ps_load_report {
    size_t loaded, missing, unused;
};
int ps_net_load(ps_net *net, const struct ps_safetensors *file, bool with_proxies,
                struct ps_load_report *report);

#endif
