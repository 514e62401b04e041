/*
 * The network: backbone, pooling and a linear embedding layer, with all its parameters (and the
 * proxies, which train beside them) in one contiguous vector on a backend.
 */
#ifndef PS_NET_NET_H
#define PS_NET_NET_H

#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_net_spec {
    char backbone[32]; /* one of ps_net_backbones */
    enum ps_pooling pooling;
    int dim;        /* D of the embedding */
    int size;       /* S: input is (B, 3, S, S) */
    bool freeze_bn; /* training: running statistics are used and kept */
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

/* One named tensor. Trainable ones lie in the parameter vector, running statistics in the state
 * vector. Groups are contiguous, in the order of the enum. */
struct ps_param {
    const char *name; /* torchvision's or BN-Inception's; "embedding.weight", "proxy.weight" */
    int ndim;
    int64_t shape[4];
    size_t offset, count;
    enum ps_group group;
    bool state;
};

typedef struct ps_net ps_net;

/* `proxies` rows of D (C, or C K for SoftTriple), 0 for none. The backend must outlive the net. */
ps_net *ps_net_new(ps_backend *backend, const struct ps_net_spec *spec, size_t proxies);
void ps_net_free(ps_net *net);
const struct ps_net_spec *ps_net_spec_of(const ps_net *net);
ps_backend *ps_net_backend(const ps_net *net);

size_t ps_net_param_count(const ps_net *net);
const struct ps_param *ps_net_param(const ps_net *net, size_t i);
/* By name, or NULL. */
const struct ps_param *ps_net_find(const ps_net *net, const char *name);
/* A tensor's values in plain layout; (param->count) floats. After put, call ps_net_changed. */
int ps_net_get(ps_net *net, const struct ps_param *param, float *values);
int ps_net_put(ps_net *net, const struct ps_param *param, const float *values);
int ps_net_get_gradient(ps_net *net, const struct ps_param *param, float *values);

/* PyTorch's initial values: convolutions of ResNet normal with fan-out, of BN-Inception and linear
 * layers uniform in +-1/sqrt(fan in), BN 1/0, proxies uniform in +-1/sqrt(D). */
int ps_net_init(ps_net *net, uint64_t seed);

/* The whole vectors, for optimiser, checkpoint and gradient norm; belong to the net. */
ps_vec *ps_net_params(const ps_net *net);
ps_vec *ps_net_gradients(ps_net *net); /* allocated at the first call or backward */
ps_vec *ps_net_state(const ps_net *net);
size_t ps_net_params_size(const ps_net *net);
size_t ps_net_state_size(const ps_net *net);
void ps_net_group_range(const ps_net *net, enum ps_group group, size_t *offset, size_t *count);
/* The proxies as (rows, D) matrices of values and gradients. */
struct ps_mat ps_net_proxy(const ps_net *net);
struct ps_mat ps_net_proxy_gradient(ps_net *net);

/* The parameters or the state were changed from outside (optimiser step, load). */
void ps_net_changed(ps_net *net);

/*
 * Embeds a batch: images (B, S, S, 3) RGB bytes, or ps_net_forward_f32 with (B, 3, S, S) that is
 * normalised already. Plans (buffers, prepared operators) are kept per (B, mode), the two last
 * used. Statistics of a batch cannot be had from one image whose last map is 1 x 1 (PS_EINVAL).
 * *embedding is (B, D) on the device, valid until the next call; INFER and TRAIN differ in BN
 * and in that only TRAIN keeps what backward needs. INFER takes a large batch in equal slices where
 * the backend asks for it (inference_bytes).
 */
int ps_net_forward(ps_net *net, enum ps_mode mode, const uint8_t *images, size_t batch,
                   struct ps_mat *embedding);
int ps_net_forward_f32(ps_net *net, enum ps_mode mode, const float *images, size_t batch,
                       struct ps_mat *embedding);
/*
 * Begins to bring the images of the next ps_net_forward, which is given NULL then, to the device
 * while that may still be at work. They must stay as they are until that forward has been made.
 */
int ps_net_stage(ps_net *net, const uint8_t *images, size_t batch);
/* (B, channels): the input of the linear layer of the last forward. */
int ps_net_pooled(ps_net *net, float *out);

/*
 * After a TRAIN forward: gradient (B, D) of the loss by the embedding -> gradients of all
 * parameters of backbone and embedding (proxies are the loss's own). accumulate adds to what is
 * there. head_only stops at the linear layer (warm-up: backbone frozen); without accumulate the
 * backbone's gradients are then zero. Once per forward: what it needs is overwritten.
 */
int ps_net_backward(ps_net *net, struct ps_mat gradient, bool accumulate, bool head_only);

/*
 * Training keeps only some of the activations and makes the others again in backward: the same
 * numbers to the bit, in less memory and more time. Forgets all plans.
 */
void ps_net_checkpoint_activations(ps_net *net, bool checkpoint);

/*
 * From now on there is only inference, in batches of the size of the next one (or what its slices
 * are made of): where the backend keeps what it needs of them, parameters and state are given up.
 * Other batches are then refused (PS_EINVAL), and neither values nor vectors may be asked for.
 */
void ps_net_only_infer(ps_net *net);

/* Bytes of device memory held for activations. */
size_t ps_net_memory(const ps_net *net);

#endif
