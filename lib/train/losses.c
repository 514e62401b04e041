/* The table of losses: a new loss of a known shape is one row here. */
#include "base/err.h"
#include "train/loss.h"

const char *const ps_loss_names =
    "softmax|norm-softmax|proxy-nca|sphereface|cosface|arcface|softtriple|proxy-anchor";

const struct ps_loss_kind ps_loss_kinds[] = {
    {
        .name = "softmax",
        .formula = "CE(x.p), raw inner products, no bias",
        .scale = 1,
        .centers = 1,
        .scale_factor = 1,
    },
    {
        .name = "norm-softmax",
        .formula = "CE(s cos(x, p))",
        .normalize = true,
        .scale = 23,
        .centers = 1,
        .scale_factor = 1,
    },
    {
        .name = "proxy-nca",
        .formula = "CE(-s |x^ - p^|^2) = CE(2 s cos(x, p)), x^ and p^ of length 1",
        .normalize = true,
        .scale = 12,
        .centers = 1,
        .scale_factor = 2,
    },
    {
        .name = "sphereface",
        .formula = "CE(s cos), target s ((-1)^k cos(m theta) - 2 k), theta in [k, k+1] pi / m",
        .normalize = true,
        .margin = PS_MARGIN_SPHERE,
        .scale = 23,
        .m = 1.35,
        .centers = 1,
        .scale_factor = 1,
    },
    {
        .name = "cosface",
        .formula = "CE(s cos), target s (cos - m)",
        .normalize = true,
        .margin = PS_MARGIN_COSINE,
        .scale = 23,
        .m = 0.1,
        .centers = 1,
        .scale_factor = 1,
    },
    {
        .name = "arcface",
        .formula = "CE(s cos), target s cos(theta + m)",
        .normalize = true,
        .margin = PS_MARGIN_ARC,
        .scale = 23,
        .m = 0.1,
        .centers = 1,
        .scale_factor = 1,
    },
    {
        .name = "softtriple",
        .formula = "CE(s S), S = sum_k softmax_k(cos_k / gamma) cos_k over K centers, target "
                   "s (S - m); plus tau times the mean distance of centers of a class",
        .head = PS_HEAD_SOFTTRIPLE,
        .normalize = true,
        .margin = PS_MARGIN_COSINE,
        .scale = 20,
        .m = 0.01,
        .centers = 10,
        .gamma = 0.1,
        .tau = 0.2,
        .scale_factor = 1,
    },
    {
        .name = "proxy-anchor",
        .formula = "mean over p in P+ of log(1 + sum_pos e^(-s (cos - m))) + mean over P of "
                   "log(1 + sum_neg e^(s (cos + m)))",
        .head = PS_HEAD_ANCHOR,
        .normalize = true,
        .scale = 32,
        .m = 0.1,
        .centers = 1,
        .scale_factor = 1,
    },
};

const size_t ps_loss_kind_count = sizeof ps_loss_kinds / sizeof *ps_loss_kinds;

int ps_loss_settings_complete(struct ps_loss_settings *s)
{
    const struct ps_loss_kind *kind = &ps_loss_kinds[s->kind];
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
                       "--ps-mu: %g is out of range: a batch has one neighbour a row, so mu is "
                       "0 to 1",
                       s->mu);
    if (s->centers < 1 || (s->centers > 1 && kind->head != PS_HEAD_SOFTTRIPLE))
        return ps_fail(PS_EUSAGE, "--centers: only softtriple has several centers a class");
    if (s->scale <= 0)
        return ps_fail(PS_EUSAGE, "--scale: %g is not positive", s->scale);
    if (kind->margin == PS_MARGIN_SPHERE && s->m < 1)
        return ps_fail(PS_EUSAGE, "--margin: sphereface multiplies the angle, m >= 1");
    if (kind->head == PS_HEAD_SOFTTRIPLE && s->gamma <= 0)
        return ps_fail(PS_EUSAGE, "--gamma: %g is not positive", s->gamma);
    bool mixed =
        s->regularizer == PS_REGULARIZER_MIXUP || s->regularizer == PS_REGULARIZER_MANIFOLD;
    if (mixed && kind->head == PS_HEAD_ANCHOR)
        return ps_fail(PS_EUSAGE,
                       "--regularizer: proxy-anchor has no mixed labels; take ps or none");
    if (s->regularizer == PS_REGULARIZER_VIRTUAL &&
        (kind->head != PS_HEAD_SOFTMAX || !kind->normalize))
        return ps_fail(PS_EUSAGE,
                       "--regularizer: virtual is made for the softmax losses over cosines");
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
