/* The convolutions that are not oneDNN's behind one interface: which passes can be computed so,
 * what they need, and how they run. */
#ifndef PS_CPU_OWN_H
#define PS_CPU_OWN_H

#include "kernels/cpu/choice.h"
#include "kernels/cpu/finish.h"
#include "kernels/cpu/fold.h"

enum cpu_way {
    CPU_NOT_NEEDED,
    CPU_ONEDNN,
    CPU_POINTWISE,
    CPU_WINOGRAD,
    CPU_AMX,
    CPU_AMX_STEM,
    CPU_OUTER,
    CPU_STEM
};

/* Those of a pass, the one that the rule takes first; returns how many. */
int cpu_own_ways(const ps_node *node, enum dn_pass pass, enum cpu_way ways[CPU_MOST_OWN]);
/* For the profile; NULL for ways that are not our own. */
const char *cpu_way_name(enum cpu_way way);
/*
 * Does the way transform or split tiles? In inference the weights are kept so; in training they are
 * made of the parameters into the work buffer, for each pass anew: they are larger and used once.
 */
bool cpu_own_transforms(enum cpu_way way);
/* Of the weights; DN_OTHER where they are kept transformed, or are made of plain ones. */
enum dn_layout cpu_own_layout(const ps_node *node, enum cpu_way way, enum dn_pass pass);
/* Bytes of the weights as they are kept, 0 where they are not, or of their gradient. */
size_t cpu_own_weights(const ps_node *node, enum cpu_way way, enum dn_pass pass);
/* Where tiles are transformed or split: how many floats that gives, and them. */
size_t cpu_own_folded(const ps_node *node, enum cpu_way way);
void cpu_own_fold(const ps_node *node, enum cpu_way way, const struct cpu_tiles *tiles,
                  float *weights);
/* Floats that cpu_own_run or cpu_own_gradient work on. */
size_t cpu_own_work(const ps_node *node, enum cpu_way way, enum dn_pass pass, int threads);
/* Is the mask of din_masks part of a data pass of our own? */
bool cpu_own_masks(const ps_node *node, enum cpu_way way);

/* The forward or data pass of a node, from and to the activations given, with weights as they are
 * kept or, NULL, made of tiles. */
void cpu_own_run(const ps_node *node, enum cpu_way way, enum dn_pass pass, const float *weights,
                 const struct cpu_tiles *tiles, const ps_act *from, const ps_act *to,
                 const struct cpu_finish *finish, float *work);
/* Does a gradient of our own begin with the mask of the node's ReLU? */
bool cpu_own_gradient_masks(const ps_node *node, enum cpu_way way);
/* dW' in the layout that is returned, db' (O) unless NULL. */
enum dn_layout cpu_own_gradient(const ps_node *node, enum cpu_way way, float *dweight, float *dbias,
                                float *work);

/* A pass to be timed (struct cpu_choice). */
struct cpu_own_trial {
    const ps_node *node;
    enum dn_pass pass;
    enum cpu_way way;
    float *weights; /* made by the first run; free() it */
};
int cpu_own_try(struct cpu *cpu, void *trial, const struct cpu_trial_buffers *buffers);

#endif
