/*
 * Names of published weights -> names of this project (METHOD.md 3), which are torchvision's for a
 * ResNet (timm uses the same) and those of the ported BN-Inception.
 */
#ifndef PS_WEIGHTS_NAMES_H
#define PS_WEIGHTS_NAMES_H

#include "weights/safetensors.h"

/*
 * Makes the tensors of a file look alike: the prefixes "module." and "model." are dropped, BN
 * vectors of shape [1, C] (published BN-Inception) become [C], scalars become [1]. Two tensors that
 * get the same name are PS_EFORMAT. `where` begins messages.
 */
int ps_names_normalize(struct ps_safetensors *file, const char *where);

/* Names in a checkpoint of the reference: its embedding layer, and its proxies. free() them. */
char *ps_name_of_embedding(const char *key);
char *ps_name_of_criterion(const char *key);

#endif
