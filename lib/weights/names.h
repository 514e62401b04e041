/*
 * Maps tensor names of published weights to those used here (Networks in ps-method(7)):
 * torchvision's (and timm's) for ResNets, those of the PyTorch port for BN-Inception.
 */
#ifndef PS_WEIGHTS_NAMES_H
#define PS_WEIGHTS_NAMES_H

#include "weights/safetensors.h"

/*
 * Normalises names and shapes: drops the prefixes "module." and "model.", reshapes BN vectors from
 * [1, C] (published BN-Inception) to [C] and scalars to [1]. Duplicate names are PS_EFORMAT.
 * `where` prefixes error messages.
 */
int ps_names_normalize(struct ps_safetensors *file, const char *where);

/* Names for the embedding layer and the proxies in a checkpoint of the reference. free() them. */
char *ps_name_of_embedding(const char *key);
char *ps_name_of_criterion(const char *key);

#endif
