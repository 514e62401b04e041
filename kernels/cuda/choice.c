/*
 * The choice of a cuDNN algorithm for each pass of a convolution: the first that cuDNN's heuristics
 * propose or, with a cache folder, the fastest that it measured, of those that are deterministic,
 * need a bounded workspace and do not convert to a type narrower than the precision.
 */
#include "kernels/choices.h"
#include "kernels/cuda/conv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROPOSALS = 16 };
static const size_t workspace_limit = (size_t)1 << 30;

static const char *const pass_names[CONV_PASSES] = {"forward", "backward data", "backward filter"};
static const char *const precision_names[] = {"fp32", "tf32", "bf16", "fp16"};

/* cuDNN's description of an algorithm, for any pass. */
struct proposal {
    int algorithm;
    cudnnStatus_t status;
    cudnnDeterminism_t determinism;
    cudnnMathType_t math;
    float milliseconds; /* measured */
};

/* From cuDNN's types, one for each pass, with the same fields. */
#define COPY_PROPOSALS(list, found, count)                                                         \
    for (int i = 0; i < (count); i++)                                                              \
    (list)[i] = ((struct proposal){(int)(found)[i].algo, (found)[i].status,                        \
                                   (found)[i].determinism, (found)[i].mathType, (found)[i].time})

static int list_forward(struct cuda *cuda, const struct conv_node *c, bool measure,
                        struct proposal *list)
{
    cudnnConvolutionFwdAlgoPerf_t found[PROPOSALS];
    cudnnConvolutionDescriptor_t conv = c->conv[CONV_FORWARD];
    int count = 0;
    cudnnStatus_t status =
        measure
            ? cudnnFindConvolutionForwardAlgorithmEx(cuda->dnn, c->x, c->node.in[0]->data, c->w,
                                                     c->weight, conv, c->y, c->node.out->data,
                                                     PROPOSALS, &count, found,
                                                     cuda->workspace.memory, cuda->workspace.bytes)
            : cudnnGetConvolutionForwardAlgorithm_v7(cuda->dnn, c->x, c->w, conv, c->y, PROPOSALS,
                                                     &count, found);
    COPY_PROPOSALS(list, found, count);
    return cuda_check_dnn(cuda, status, "choice of an algorithm") ? -1 : count;
}

static int list_data(struct cuda *cuda, const struct conv_node *c, bool measure,
                     struct proposal *list)
{
    cudnnConvolutionBwdDataAlgoPerf_t found[PROPOSALS];
    cudnnConvolutionDescriptor_t conv = c->conv[CONV_DATA];
    int count = 0;
    cudnnStatus_t status =
        measure ? cudnnFindConvolutionBackwardDataAlgorithmEx(
                      cuda->dnn, c->w, c->weight, c->y, c->node.dout->data, conv, c->x,
                      c->node.din[0]->data, PROPOSALS, &count, found, cuda->workspace.memory,
                      cuda->workspace.bytes)
                : cudnnGetConvolutionBackwardDataAlgorithm_v7(cuda->dnn, c->w, c->y, conv, c->x,
                                                              PROPOSALS, &count, found);
    COPY_PROPOSALS(list, found, count);
    return cuda_check_dnn(cuda, status, "choice of an algorithm") ? -1 : count;
}

static int list_filter(struct cuda *cuda, const struct conv_node *c, bool measure,
                       struct proposal *list)
{
    cudnnConvolutionBwdFilterAlgoPerf_t found[PROPOSALS];
    cudnnConvolutionDescriptor_t conv = c->conv[CONV_FILTER];
    int count = 0;
    cudnnStatus_t status =
        measure ? cudnnFindConvolutionBackwardFilterAlgorithmEx(
                      cuda->dnn, c->x, c->node.in[0]->data, c->y, c->node.dout->data, conv, c->w,
                      cuda->work.memory, PROPOSALS, &count, found, cuda->workspace.memory,
                      cuda->workspace.bytes)
                : cudnnGetConvolutionBackwardFilterAlgorithm_v7(cuda->dnn, c->x, c->y, conv, c->w,
                                                                PROPOSALS, &count, found);
    COPY_PROPOSALS(list, found, count);
    return cuda_check_dnn(cuda, status, "choice of an algorithm") ? -1 : count;
}

typedef int list_algorithms(struct cuda *cuda, const struct conv_node *c, bool measure,
                            struct proposal *list);
static list_algorithms *const lists[CONV_PASSES] = {list_forward, list_data, list_filter};

/* Sets the math type of the precision. */
static int set_math(struct cuda *cuda, const struct conv_node *c, enum conv_pass pass)
{
    cudnnMathType_t math =
        cuda->precision == PS_PRECISION_FP32 ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH;
    return cuda_check_dnn(cuda, cudnnSetConvolutionMathType(c->conv[pass], math), "convolution");
}

/* Sets the algorithm's math type and finds its workspace; false if the algorithm is not usable. */
static bool query_workspace(struct cuda *cuda, const struct conv_node *c, enum conv_pass pass,
                            const struct proposal *p, size_t *bytes)
{
    cudnnConvolutionDescriptor_t conv = c->conv[pass];
    cudnnStatus_t status = cudnnSetConvolutionMathType(conv, p->math);
    if (status == CUDNN_STATUS_SUCCESS && pass == CONV_FORWARD)
        status = cudnnGetConvolutionForwardWorkspaceSize(
            cuda->dnn, c->x, c->w, conv, c->y, (cudnnConvolutionFwdAlgo_t)p->algorithm, bytes);
    if (status == CUDNN_STATUS_SUCCESS && pass == CONV_DATA)
        status = cudnnGetConvolutionBackwardDataWorkspaceSize(
            cuda->dnn, c->w, c->y, conv, c->x, (cudnnConvolutionBwdDataAlgo_t)p->algorithm, bytes);
    if (status == CUDNN_STATUS_SUCCESS && pass == CONV_FILTER)
        status = cudnnGetConvolutionBackwardFilterWorkspaceSize(
            cuda->dnn, c->x, c->y, conv, c->w, (cudnnConvolutionBwdFilterAlgo_t)p->algorithm,
            bytes);
    return status == CUDNN_STATUS_SUCCESS && *bytes <= workspace_limit;
}

/* In fp32 the math type becomes FMA, as the default one would allow TF32. */
static bool exact_enough(const struct cuda *cuda, struct proposal *p)
{
    if (cuda->precision != PS_PRECISION_FP32)
        return p->math != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
    bool plain = p->math == CUDNN_DEFAULT_MATH || p->math == CUDNN_FMA_MATH;
    p->math = CUDNN_FMA_MATH;
    return plain;
}

/* Keeps the usable ones of the list; returns their number. *most: the largest workspace. */
static int keep_usable(struct cuda *cuda, const struct conv_node *c, enum conv_pass pass,
                       struct proposal *list, int count, size_t *most)
{
    int kept = 0;
    *most = 0;
    for (int i = 0; i < count; i++) {
        struct proposal p = list[i];
        size_t bytes = 0;
        if (p.status != CUDNN_STATUS_SUCCESS || p.determinism != CUDNN_DETERMINISTIC ||
            !exact_enough(cuda, &p) || !query_workspace(cuda, c, pass, &p, &bytes))
            continue;
        list[kept++] = p;
        *most = bytes > *most ? bytes : *most;
    }
    return kept;
}

static void make_key(const struct cuda *cuda, const struct conv_node *c, enum conv_pass pass,
                     char key[PS_CHOICE_TEXT])
{
    const struct ps_op_desc *d = &c->node.desc;
    struct ps_shape x = c->node.in[0]->shape, y = c->node.out->shape;
    snprintf(key, PS_CHOICE_TEXT, "%s %s n%d %dx%dx%d %dx%dx%d k%d s%d p%d", pass_names[pass],
             precision_names[cuda->precision], x.n, x.c, x.h, x.w, y.c, y.h, y.w, d->kernel,
             d->stride, d->pad);
}

/* Times all algorithms and records the fastest; *best is unchanged if none is usable. */
static int measure(struct cuda *cuda, struct conv_node *c, enum conv_pass pass, const char *key,
                   struct proposal *best)
{
    struct proposal timed[PROPOSALS];
    size_t most;
    if (set_math(cuda, c, pass))
        return -1;
    int count = lists[pass](cuda, c, true, timed);
    if (count < 0)
        return -1;
    if (keep_usable(cuda, c, pass, timed, count, &most) == 0)
        return 0;
    *best = timed[0];
    char text[PS_CHOICE_TEXT];
    snprintf(text, sizeof text, "%d\t%d\t%.4f ms", best->algorithm, (int)best->math,
             (double)best->milliseconds);
    return ps_choices_add(cuda->choices, key, text, cuda->error, sizeof cuda->error);
}

/* The recorded choice, or else a measured one; *best is unchanged if there is neither. */
static int by_measurement(struct cuda *cuda, struct conv_node *c, enum conv_pass pass,
                          const struct proposal *list, int count, size_t most,
                          struct proposal *best)
{
    char key[PS_CHOICE_TEXT];
    make_key(cuda, c, pass, key);
    const char *known = ps_choices_find(cuda->choices, key);
    if (!known)
        return cuda_need(cuda, &cuda->workspace, most) || measure(cuda, c, pass, key, best);
    char *end, *last;
    long algorithm = strtol(known, &end, 10), math = strtol(end, &last, 10);
    for (int i = 0; *end == '\t' && *last == '\t' && i < count; i++)
        if (list[i].algorithm == algorithm && (long)list[i].math == math)
            *best = list[i];
    return 0;
}

int cuda_conv_choose(struct cuda *cuda, struct conv_node *c, enum conv_pass pass)
{
    struct proposal list[PROPOSALS];
    size_t most;
    if (set_math(cuda, c, pass))
        return -1;
    int count = lists[pass](cuda, c, false, list);
    if (count < 0)
        return -1;
    count = keep_usable(cuda, c, pass, list, count, &most);
    if (count == 0)
        return cuda_fail(cuda, "%s: cuDNN has no deterministic %s algorithm for the %s pass",
                         c->node.text, precision_names[cuda->precision], pass_names[pass]);
    struct proposal best = list[0];
    if (cuda->choices && by_measurement(cuda, c, pass, list, count, most, &best))
        return -1;
    size_t bytes = 0;
    if (!query_workspace(cuda, c, pass, &best, &bytes)) /* which also sets its math type */
        return cuda_fail(cuda, "%s: cuDNN rejects the algorithm that it proposed", c->node.text);
    c->algorithm[pass] = best.algorithm;
    return cuda_need(cuda, &cuda->workspace, bytes);
}

struct ps_choices *cuda_choices_open(struct cuda *cuda, const char *folder, const char *device_name)
{
    char path[4096], name[128];
    size_t version = cudnnGetVersion();
    snprintf(name, sizeof name, "%s", device_name);
    for (char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at))
            *at = '-';
    int length = snprintf(path, sizeof path, "%s/cudnn-%zu.%zu.%zu-%s.tsv", folder, version / 10000,
                          version / 100 % 100, version % 100, name);
    if (length < (int)sizeof path)
        return ps_choices_open(path, cuda->error, sizeof cuda->error);
    cuda_fail(cuda, "%s: name too long", folder);
    return NULL;
}
