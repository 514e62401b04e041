/*
 * The first convolution of a network, over up to 4 channels that are not in blocks and with a
 * kernel of up to 8 columns, on the matrix unit (amx.h): a row of a factor is 8 pixels of 4
 * channels, so that a step of the convolution is one in memory.
 */
#ifndef PS_CPU_AMX_STEM_H
#define PS_CPU_AMX_STEM_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/finish.h"

bool cpu_amx_stem_suits(const ps_node *node, enum dn_pass pass);
/* Floats that the weights take in parts. */
size_t cpu_amx_stem_weights(const ps_node *node);
/* From (O, I, k, k). */
void cpu_amx_stem_pack(const ps_node *node, const float *plain, float *parts);
/* Floats of the work buffer. */
size_t cpu_amx_stem_work(const ps_node *node, int threads);
void cpu_amx_stem(const ps_node *node, const float *parts, const ps_act *x, const ps_act *y,
                  const struct cpu_finish *finish, float *work);

/* The gradient of its weights, likewise. */
bool cpu_amx_stem_gradient_suits(const ps_node *node);
size_t cpu_amx_stem_gradient_work(const ps_node *node, int threads);
/* dW (O, I, k, k), db (O) unless NULL. */
void cpu_amx_stem_gradient(const ps_node *node, float *dweight, float *dbias, float *work);

#endif
