/* Metadata of a model file (ps-model(5)). */
#ifndef PS_NET_MODELMETA_H
#define PS_NET_MODELMETA_H

#include "net/model.h"

enum { PS_MODEL_PAIRS = 14 };

struct ps_model_meta {
    const char *pairs[2 * PS_MODEL_PAIRS]; /* name, value; values point into `text` */
    char text[PS_MODEL_PAIRS][96];
    size_t count;
};

/* Names of enum ps_pooling, and the same for an option table. */
extern const char *const ps_pooling_names[3];
#define PS_POOLING_WORDS "GAP|GMP|GAP,GMP"

/* Names of enum ps_embedding_norm, and the same for an option table. */
extern const char *const ps_norm_names[3];
#define PS_NORM_WORDS "none|pooled|embedding"

/* Fills the pairs. */
void ps_model_meta_write(struct ps_model_meta *meta, const struct ps_net_spec *spec, int resize);
/* Validates everything except that the network can be built. */
int ps_model_meta_read(const struct ps_safetensors *file, struct ps_net_spec *spec, int *resize);

#endif
