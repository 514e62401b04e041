/* Gives several embedding files one numbering of classes, so that their labels can be compared. */
#ifndef PS_EVAL_RELABEL_H
#define PS_EVAL_RELABEL_H

#include "eval/embedding.h"

/*
 * Classes of the same name get the same label, and `class_names` is replaced accordingly. Where
 * only some files have class names, the label numbers of the others are taken for names, with a
 * warning; where none has, labels stay as they are.
 */
int ps_relabel(struct ps_embedding *const *files, size_t count);

/* Warns if the embeddings, of which similarities will be computed, are of different models. */
void ps_warn_of_models(struct ps_embedding *const *files, size_t count);

/* Both, for two sets. PS_EMISMATCH if they have no class in common. */
int ps_relabel_gallery(struct ps_embedding *query, struct ps_embedding *gallery);

#endif
