/*
 * What this backend needs of oneDNN, the same over the descriptor interface of 2.x and that of 3.x:
 * convolutions in the activation layouts of struct ps_act, reordering of their weights, and sgemm.
 * All float32.
 */
#ifndef PS_CPU_CONV_ONEDNN_H
#define PS_CPU_CONV_ONEDNN_H

#include "kernels/cpu/conv/weights.h"

#include <stdbool.h>
#include <stddef.h>

/* Engine and stream. dn_open returns NULL when oneDNN refuses. */
struct dn;
struct dn *dn_open(void);
void dn_close(struct dn *dn);
/* "2.6.3" */
void dn_version(char *text, size_t size);

struct dn_conv_desc {
    enum cpu_pass pass;
    bool inference; /* FORWARD: the weights may take a layout that training cannot use */
    int n, ic, ih, iw, oc, oh, ow;
    int kernel, stride, pad; /* square; what oh, ow ask for beyond is padded on the far side */
    bool plain;              /* activations are (N, C, H, W), whatever their channels */
    bool bias;
    bool add, relu; /* FORWARD: y = [relu](conv [+ added]) */
    bool sum;       /* DATA, stride 1: x += ... */
};

struct dn_conv;
/* The index-th implementation (from 0) that the library has for it; NULL: no such one. */
struct dn_conv *dn_conv_new(struct dn *dn, const struct dn_conv_desc *desc, bool winograd,
                            int index);
void dn_conv_free(struct dn_conv *conv);
/* The library's name of the implementation. */
const char *dn_conv_name(const struct dn_conv *conv);
size_t dn_conv_weight_bytes(const struct dn_conv *conv);
/* What run, pack and unpack need, one at a time. */
size_t dn_conv_scratch_bytes(const struct dn_conv *conv);

/* One that weights.h can write, or CPU_PACKED_OF_OIHW: dn_conv_pack and dn_conv_unpack only. */
enum cpu_weight_layout dn_conv_layout(const struct dn_conv *conv);

/* w as the convolution wants it (dn_conv_pack), b and added NULL where there is none. 0 or -1. */
int dn_conv_run(struct dn_conv *conv, float *x, float *w, float *b, float *y, float *added,
                void *scratch);
/* From plain (O, I, k, k) to the convolution's layout, and back. 0 or -1. */
int dn_conv_pack(struct dn_conv *conv, const float *plain, float *packed, void *scratch);
int dn_conv_unpack(struct dn_conv *conv, float *packed, float *plain, void *scratch);

/* C = alpha op(A) op(B) + beta C, row-major; op(A) is (m, k), ld* are row lengths. 0 or -1. */
int dn_gemm(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
            const float *b, size_t ldb, float beta, float *c, size_t ldc);

#endif
