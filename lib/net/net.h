/*
 * The network (Networks in ps-method(7)): backbone, global pooling and a linear embedding layer.
 * All parameters, including the proxies, are in one contiguous vector on a backend.
 */
#ifndef PS_NET_NET_H
#define PS_NET_NET_H

#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Layer normalisation without weights of the pooled features (ProxyNCA++) or of the embedding. */
enum ps_embedding_norm { PS_NORM_NONE, PS_NORM_POOLED, PS_NORM_EMBEDDING };

struct ps_net_spec {
    char backbone[32]; /* one of ps_net_backbones */
    enum ps_pooling pooling;
    enum ps_embedding_norm norm;
    int dim;        /* D of the embedding layer; 0: none, the pooled features are the embedding */
    int size;       /* S: input is (B, 3, S, S) */
    bool freeze_bn; /* training uses the running statistics and leaves them unchanged */
    struct ps_input_norm input;
};

/* The names of all backbones, "first|second|...", as option words and for messages; the first is
 * the default. */
extern const char *const ps_net_backbones;
/* The name of backbone i, NULL past the last. */
const char *ps_net_backbone(size_t i);
bool ps_net_has_backbone(const char *backbone);
/* The input normalisation of the backbone's published weights (Input in ps-method(7)); of the
 * default where there is no such backbone. */
struct ps_input_norm ps_net_default_input(const char *backbone);

/* For --channels: the order of the published weights, or another. */
enum ps_channels { PS_CHANNELS_AUTO, PS_CHANNELS_RGB, PS_CHANNELS_BGR };
#define PS_CHANNELS_WORDS "auto|rgb|bgr"
/* ps_net_default_input in that order of channels. */
struct ps_input_norm ps_net_input(const char *backbone, enum ps_channels channels);
/* Short side that test images are resized to for an input of `size`: 256/224 of it, rounded. */
int ps_net_default_resize(int size);

enum ps_group { PS_GROUP_BACKBONE, PS_GROUP_EMBEDDING, PS_GROUP_PROXY, PS_GROUPS };

/* One named tensor, in the parameter vector or, for running statistics, in the state vector. Groups
 * are contiguous, in the order of the enum. */
struct ps_param {
    const char *name; /* as in published weights; "embedding.weight", "proxy.weight" */
    int ndim;
    int64_t shape[4];
    size_t offset, count;
    enum ps_group group;
    bool state;
};

typedef struct ps_net ps_net;

/* `proxies`: number of rows of D, 0 for none. The backend must outlive the net. NULL with the error
 * recorded. */
ps_net *ps_net_new(ps_backend *backend, const struct ps_net_spec *spec, size_t proxies);
void ps_net_free(ps_net *net);
/*
 * A second network on the same parameters, for training passes of several parts of a batch at once:
 * state, gradients and activations are its own. What is derived from the parameters (folded,
 * packed) is shared by the lanes whose parts have one size, where the backend can. Free it before
 * `net`. NULL with the error recorded.
 */
ps_net *ps_net_lane(ps_net *net);

const struct ps_net_spec *ps_net_spec_of(const ps_net *net);
/* D of the embeddings. */
size_t ps_net_dim(const ps_net *net);
ps_backend *ps_net_backend(const ps_net *net);

size_t ps_net_param_count(const ps_net *net);
const struct ps_param *ps_net_param(const ps_net *net, size_t i);
/* By name, or NULL. */
const struct ps_param *ps_net_find(const ps_net *net, const char *name);
/* Reads or writes a tensor, (param->count) floats, row-major. After put, call ps_net_changed. */
int ps_net_get(ps_net *net, const struct ps_param *param, float *values);
int ps_net_put(ps_net *net, const struct ps_param *param, const float *values);
int ps_net_get_gradient(ps_net *net, const struct ps_param *param, float *values);

/* PyTorch's initialisation: ResNet convolutions He normal (fan out), BN-Inception convolutions and
 * linear layers uniform in +-1/sqrt(fan in), BN 1 and 0, proxies uniform in +-1/sqrt(D). */
int ps_net_init(ps_net *net, uint64_t seed);

enum ps_init_kind { PS_INIT_CONSTANT, PS_INIT_UNIFORM, PS_INIT_NORMAL };

/* scale: the constant, the bound of U(-scale, scale), or the standard deviation. */
struct ps_init {
    enum ps_init_kind kind;
    double scale;
};

/* How ps_net_init draws a tensor, to be changed before; NULL if there is none of that name. */
struct ps_init *ps_net_initial(ps_net *net, const char *name);

/* The whole vectors, owned by the net. */
ps_vec *ps_net_params(const ps_net *net);
ps_vec *ps_net_gradients(ps_net *net); /* allocated on first use */
ps_vec *ps_net_state(const ps_net *net);
size_t ps_net_params_size(const ps_net *net);
size_t ps_net_state_size(const ps_net *net);
void ps_net_group_range(const ps_net *net, enum ps_group group, size_t *offset, size_t *count);
/* The proxies as (rows, D) matrices of values and gradients. */
struct ps_mat ps_net_proxy(const ps_net *net);
struct ps_mat ps_net_proxy_gradient(ps_net *net);

/* Call after changing parameters or state from outside (optimiser step, loading). */
void ps_net_changed(ps_net *net);

/*
 * Embeds a batch: images (B, S, S, 3) RGB bytes; ps_net_forward_f32 takes (B, 3, S, S), already
 * normalised. *embedding is (B, D) on the device, valid until the next call. TRAIN keeps what
 * backward needs and, unless freeze_bn, uses batch statistics; these need more than one element per
 * channel (PS_EINVAL). INFER splits large batches into equal slices if the backend asks for it
 * (inference_bytes). The two last used plans, keyed by (B, mode), are cached.
 */
int ps_net_forward(ps_net *net, enum ps_mode mode, const uint8_t *images, size_t batch,
                   struct ps_mat *embedding);
int ps_net_forward_f32(ps_net *net, enum ps_mode mode, const float *images, size_t batch,
                       struct ps_mat *embedding);
/*
 * Starts transferring the images of the next ps_net_forward, which is then called with images NULL,
 * while the device may still be busy. They must stay unchanged until that forward returns.
 */
int ps_net_stage(ps_net *net, const uint8_t *images, size_t batch);
/* out (B, channels): pooled features of the last forward. */
int ps_net_pooled(ps_net *net, float *out);

/*
 * After a TRAIN forward: from dL/dembedding (B, D), the gradients of backbone and embedding layer
 * (the loss computes those of the proxies). accumulate: add to the gradients. head_only: stop at
 * the pooled features (frozen backbone); without accumulate, the backbone's gradients are set to
 * zero. Once per forward.
 */
int ps_net_backward(ps_net *net, struct ps_mat gradient, bool accumulate, bool head_only);

/*
 * Activation checkpointing: training keeps some activations and recomputes the others in backward,
 * with bit-identical results. Drops all plans.
 */
void ps_net_checkpoint_activations(ps_net *net, bool checkpoint);

/*
 * Restricts the net to inference at the batch size of the next forward, so that parameters and
 * state can be freed if the backend keeps packed copies. Other batch sizes are then PS_EINVAL, and
 * parameters and state must not be accessed.
 */
void ps_net_only_infer(ps_net *net);

/* Device memory for activations, in bytes. */
size_t ps_net_memory(const ps_net *net);

#endif
