/* Matching a weight file to a backbone, and exporting a backbone under its published names. */
#ifndef PS_NET_FIT_H
#define PS_NET_FIT_H

#include "net/model.h"
#include "net/params.h"

struct ps_fit {
    struct ps_params params; /* the network's tensors, with proxies if the file has any */
    const char **missing;    /* (missing_count) tensors missing from the file */
    const char **unused;     /* (unused_count) tensors the network does not have */
    size_t matched, missing_count, unused_count;
    const char *inside; /* an unused tensor that belongs to another network (ps_load_is_inside), or
                           NULL */
    int dim;            /* D of the embedding layer; 0: none */
    bool complete;      /* backbone and embedding layer are complete */
};

/*
 * Compares names and shapes; `file` must outlive `fit`. A wrong shape is PS_EMISMATCH, naming the
 * tensor. Counters (num_batches_tracked) are ignored. `pooled`: the network has no embedding layer.
 */
int ps_fit_file(struct ps_fit *fit, const struct ps_safetensors *file, const char *backbone,
                bool pooled);
void ps_fit_free(struct ps_fit *fit);

/* The backbone whose tensors are all in the file and leave none over within it, or NULL. */
const char *ps_fit_backbone(const struct ps_safetensors *file);

/*
 * Removes the prefix that wrappers put before the names of a backbone's tensors, of any backbone if
 * `backbone` is NULL: `prefix`, or if that is NULL the one with which most tensors match.
 * PS_EMISMATCH if no name begins with it, or if two prefixes match as well.
 */
int ps_fit_strip(struct ps_safetensors *file, const char *backbone, const char *prefix);

/* Writes only the backbone's tensors as safetensors, under the names of its published weights. */
int ps_published_save(const char *path, const struct ps_model *model);

#endif
