/*
 * Convolutions of 3x3, stride 1 and padding 1, forward and by data, by Winograd's F(4x4, 3x3)
 * (Lavin and Gray, CVPR 2016): 2.25 products an output instead of 9. The points of interpolation
 * are 0, +-1/sqrt 2, +-sqrt 2 and infinity instead of 0, +-1, +-2 and infinity, which halves the
 * error; with sums in runs of 32 channels (`exact`) it is close to that of a direct convolution
 * (root mean squares on random data of 64, 128 and 256 channels: 4.6, 5.3 and 5.6e-7; direct 2.8,
 * 4.4 and 6.2e-7; without runs 5.9, 9.0 and 12.5e-7), so that it suits training, where rounding
 * turns over masks of the ReLU.
 */
#ifndef PS_CPU_WINOGRAD_H
#define PS_CPU_WINOGRAD_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/finish.h"
#include "kernels/cpu/fold.h"

/* Can a pass be computed so, and is it faster than what oneDNN 2.6 has? (Measured on AVX-512.) */
bool cpu_winograd_suits(const ps_node *node, enum dn_pass pass);
/* Floats of the transformed weights. */
size_t cpu_winograd_weights(const ps_node *node);
void cpu_winograd_fold(const ps_node *node, const struct cpu_tiles *tiles, float *weights);
/* Floats of the work buffer. */
size_t cpu_winograd_work(const ps_node *node, int threads);

struct cpu_winograd {
    const ps_act *from, *to; /* forward x, y; by data dy, dx */
    const float *weights;    /* transformed */
    struct cpu_finish finish;
    bool exact;
};
void cpu_winograd(const struct cpu_winograd *conv, float *work);

/* The gradient of the weights, likewise: can it be so? The work it needs. */
bool cpu_winograd_gradient_suits(const ps_node *node);
size_t cpu_winograd_gradient_work(const ps_node *node, int threads);
/* dW in tiles (DN_TILES_OI_IO), db (O) unless NULL. */
void cpu_winograd_gradient(const ps_node *node, float *dweight, float *dbias, float *work);

#endif
