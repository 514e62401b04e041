/*
 * What this backend needs of oneDNN, over the APIs of 2.x and 3.x alike: convolutions on the
 * layouts of struct ps_act, reorders of their weights, and sgemm. All in float32.
 */
#ifndef PS_CPU_CONV_ONEDNN_H
#define PS_CPU_CONV_ONEDNN_H

#include "kernels/cpu/conv/weights.h"

#include <stdbool.h>
#include <stddef.h>

/* Engine and stream. dn_open returns NULL on failure. */
struct dn;
struct dn *dn_open(void);
void dn_close(struct dn *dn);
/* "2.6.3" */
void dn_version(char *text, size_t size);

struct dn_conv_desc {
    enum cpu_pass pass;
    bool inference; /* FORWARD: the weights may have a layout that training cannot use */
    int n, ic, ih, iw, oc, oh, ow;
    int groups;
    int kernel, stride, pad;   /* square; bottom and right padding follow from oh and ow */
    bool x_blocked, y_blocked; /* nChw16c or nChw8c; otherwise nchw */
    bool bias;
    bool add, relu; /* FORWARD: y = [relu](conv [+ added]) */
    float relu_cap; /* y is at most that; 0: no cap */
    bool sum;       /* DATA, stride 1, one group: x += ... */
};

struct dn_conv;
/* The library's index-th implementation (from 0) of it; NULL: no such one. */
struct dn_conv *dn_conv_new(struct dn *dn, const struct dn_conv_desc *desc, bool winograd,
                            int index);
void dn_conv_free(struct dn_conv *conv);
/* The library's name of the implementation. */
const char *dn_conv_name(const struct dn_conv *conv);
size_t dn_conv_weight_bytes(const struct dn_conv *conv);
/* Scratchpad of run, pack and unpack, which may share it. */
size_t dn_conv_scratch_bytes(const struct dn_conv *conv);

/* A layout that weights.h writes, or CPU_PACKED_OF_OIHW: use dn_conv_pack and dn_conv_unpack. */
enum cpu_weight_layout dn_conv_layout(const struct dn_conv *conv);

/* w in the layout of dn_conv_layout; b and added may be NULL. 0 or -1. */
int dn_conv_run(struct dn_conv *conv, float *x, float *w, float *b, float *y, float *added,
                void *scratch);
/* Reorders between plain (O, I, k, k) and the convolution's layout. 0 or -1. */
int dn_conv_pack(struct dn_conv *conv, const float *plain, float *packed, void *scratch);
int dn_conv_unpack(struct dn_conv *conv, float *packed, float *plain, void *scratch);

/* C = alpha op(A) op(B) + beta C, row-major; op(A) is (m, k), ld* are row lengths. 0 or -1. */
int dn_gemm(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
            const float *b, size_t ldb, float beta, float *c, size_t ldc);

#endif
