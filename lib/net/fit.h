/* How the tensors of a weight file fit a network, and a model's tensors under published names. */
#ifndef PS_NET_FIT_H
#define PS_NET_FIT_H

#include "net/model.h"
#include "net/params.h"

struct ps_fit {
    struct ps_params params; /* the network's tensors; proxies too if the file has any */
    const char **missing;    /* (missing_count) names of the network that the file lacks */
    const char **unused;     /* (unused_count) names of the file that the network lacks */
    size_t matched, missing_count, unused_count;
    int dim;       /* of the embedding layer, 0 if the file has none */
    bool complete; /* backbone and embedding layer are all there */
};

/*
 * Compares names and shapes; `file` must outlive `fit`. A tensor of the right name and a wrong
 * shape is PS_EMISMATCH and named. Counters (num_batches_tracked) are never counted.
 */
int ps_fit_file(struct ps_fit *fit, const struct ps_safetensors *file, const char *backbone);
void ps_fit_free(struct ps_fit *fit);

/* The backbone whose tensors are all in the file in their shapes, or NULL. */
const char *ps_fit_backbone(const struct ps_safetensors *file);

/* Writes the backbone's tensors of a model alone, under torchvision's names (BN-Inception: those of
 * its published weights). */
int ps_published_save(const char *path, const struct ps_model *model);

#endif
