/* The losses: one row each, and their heads. */
#include "base/err.h"
#include "train/losshead.h"

static struct ps_softmax_desc softmax_of(const struct ps_loss_head *h)
{
    return (struct ps_softmax_desc){
        .scale = (float)(h->settings->scale * h->kind->scale_factor),
        .margin = h->kind->margin,
        .m = (float)h->settings->m,
        .virtual_class = h->settings->regularizer == PS_REGULARIZER_VIRTUAL,
        .smoothing = (float)h->settings->smoothing,
    };
}

/* CE(s z), with a margin on the target. */
static int softmax(const struct ps_loss_head *h)
{
    struct ps_softmax_desc desc = softmax_of(h);
    return h->backend->ops->softmax_loss(h->backend, h->z, h->label, h->label2, h->weight, &desc,
                                         h->value);
}

static int softtriple(const struct ps_loss_head *h)
{
    ps_backend *be = h->backend;
    const struct ps_backend_ops *ops = be->ops;
    struct ps_softmax_desc desc = softmax_of(h);
    int centers = (int)h->settings->centers;
    double gamma = h->settings->gamma;
    return ops->softtriple(be, h->z, centers, gamma, h->s) ||
           ops->vec_axpby(be, 0, h->ds.v, 0, 1, h->s.v, 0, h->s.rows * h->s.cols) ||
           ops->softmax_loss(be, h->ds, h->label, h->label2, h->weight, &desc, h->value) ||
           ops->softtriple_grad(be, h->z, centers, gamma, h->s, h->ds);
}

/* Pulls the centers of each real class together. */
static int softtriple_regularize(const struct ps_loss_head *h)
{
    return h->settings->centers < 2
               ? 0
               : h->backend->ops->softtriple_regularizer(h->backend, h->w,
                                                         (int)h->settings->centers,
                                                         h->settings->tau, h->dw, h->regularizer);
}

static int proxy_anchor(const struct ps_loss_head *h)
{
    return h->backend->ops->proxy_anchor(h->backend, h->z, h->label, h->settings->scale,
                                         h->settings->m, h->value);
}

/* One row per loss; omitted fields are 0 or false. */
#define LOSSES(ROW)                                                                                \
    ROW("softmax", .formula = "CE(x.p), raw inner products, no bias", .head = softmax,             \
        .scale_factor = 1, .scale = 1, .centers = 1, .soft_labels = true)                          \
    ROW("norm-softmax", .formula = "CE(s cos(x, p))", .head = softmax, .normalize = true,          \
        .scale_factor = 1, .scale = 23, .centers = 1, .soft_labels = true, .virtual_class = true)  \
    ROW("proxy-nca", .formula = "CE(2 s cos(x, p)) = CE(-s |x^ - p^|^2), x^ and p^ of length 1",   \
        .head = softmax, .normalize = true, .scale_factor = 2, .scale = 12, .centers = 1,          \
        .soft_labels = true, .virtual_class = true)                                                \
    ROW("sphereface",                                                                              \
        .formula = "CE(s cos), target s ((-1)^k cos(m theta) - 2 k), theta in [k, k+1] pi / m",    \
        .head = softmax, .normalize = true, .margin = PS_MARGIN_SPHERE, .scale_factor = 1,         \
        .scale = 23, .m = 1.35, .least_m = 1, .centers = 1, .soft_labels = true,                   \
        .virtual_class = true)                                                                     \
    ROW("cosface", .formula = "CE(s cos), target s (cos - m)", .head = softmax, .normalize = true, \
        .margin = PS_MARGIN_COSINE, .scale_factor = 1, .scale = 23, .m = 0.1, .centers = 1,        \
        .soft_labels = true, .virtual_class = true)                                                \
    ROW("arcface", .formula = "CE(s cos), target s cos(theta + m)", .head = softmax,               \
        .normalize = true, .margin = PS_MARGIN_ARC, .scale_factor = 1, .scale = 23, .m = 0.1,      \
        .centers = 1, .soft_labels = true, .virtual_class = true)                                  \
    ROW("softtriple",                                                                              \
        .formula = "CE(s S), S = sum_k softmax_k(cos_k / gamma) cos_k over K centers, target "     \
                   "s (S - m); plus tau times the mean distance of centers of a class",            \
        .head = softtriple, .regularize = softtriple_regularize, .normalize = true,                \
        .margin = PS_MARGIN_COSINE, .scale_factor = 1, .scale = 20, .m = 0.01, .centers = 10,      \
        .gamma = 0.1, .tau = 0.2, .soft_labels = true)                                             \
    ROW("proxy-anchor",                                                                            \
        .formula = "mean over p in P+ of log(1 + sum_pos e^(-s (cos - m))) + mean over P of "      \
                   "log(1 + sum_neg e^(s (cos + m)))",                                             \
        .head = proxy_anchor, .normalize = true, .scale_factor = 1, .scale = 32, .m = 0.1,         \
        .centers = 1)

#define WORD(word, ...) "|" word
const char *const ps_loss_names = &(LOSSES(WORD))[1];

#define KIND(word, ...) {.name = word, __VA_ARGS__},
const struct ps_loss_kind ps_loss_kinds[] = {LOSSES(KIND)};
const size_t ps_loss_kind_count = sizeof ps_loss_kinds / sizeof *ps_loss_kinds;

int ps_loss_settings_complete(struct ps_loss_settings *s)
{
    const struct ps_loss_kind *kind = &ps_loss_kinds[s->kind];
    if (s->temperature > 0 && s->scale > 0)
        return ps_fail(PS_EUSAGE, "--temperature: it is 1 / --scale, which is given, too");
    if (s->temperature > 0)
        s->scale = 1 / s->temperature;
    s->temperature = 0;
    if (s->scale == 0)
        s->scale = kind->scale;
    if (s->m < 0)
        s->m = kind->m;
    if (s->gamma == 0)
        s->gamma = kind->gamma;
    if (s->tau < 0)
        s->tau = kind->tau;
    if (!s->centers)
        s->centers = kind->centers;
    if (s->mu < 0 || s->mu > 1)
        return ps_fail(PS_EUSAGE,
                       "--ps-mu: %g is out of range (0 to 1: each row has one neighbour)", s->mu);
    if (s->centers < 1 || (s->centers > 1 && kind->centers == 1))
        return ps_fail(PS_EUSAGE, "--centers: %s has one center per class", kind->name);
    if (s->scale <= 0)
        return ps_fail(PS_EUSAGE, "--scale: %g is not positive", s->scale);
    if (s->m < kind->least_m)
        return ps_fail(PS_EUSAGE, "--margin: the margin of %s is at least %g", kind->name,
                       kind->least_m);
    if (kind->centers > 1 && s->gamma <= 0)
        return ps_fail(PS_EUSAGE, "--gamma: %g is not positive", s->gamma);
    bool mixed =
        s->regularizer == PS_REGULARIZER_MIXUP || s->regularizer == PS_REGULARIZER_MANIFOLD;
    if (s->smoothing > 0 && !kind->soft_labels)
        return ps_fail(PS_EUSAGE, "--label-smoothing: %s is no softmax over the classes",
                       kind->name);
    if (mixed && !kind->soft_labels)
        return ps_fail(PS_EUSAGE, "--regularizer: %s has no mixed labels; use ps or none",
                       kind->name);
    if (s->regularizer == PS_REGULARIZER_VIRTUAL && !kind->virtual_class)
        return ps_fail(PS_EUSAGE,
                       "--regularizer: virtual needs a softmax loss over cosines, which "
                       "%s is not",
                       kind->name);
    return PS_OK;
}

bool ps_loss_uses_lambda(const struct ps_loss_settings *s)
{
    return s->regularizer == PS_REGULARIZER_MIXUP || s->regularizer == PS_REGULARIZER_MANIFOLD ||
           (s->regularizer == PS_REGULARIZER_PS && s->mu > 0);
}

size_t ps_loss_proxies(const struct ps_loss_settings *settings, size_t classes)
{
    return classes * (size_t)settings->centers;
}
