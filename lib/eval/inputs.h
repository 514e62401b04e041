/* Loads the embedding files to be evaluated. */
#ifndef PS_EVAL_INPUTS_H
#define PS_EVAL_INPUTS_H

#include "eval/embedding.h"
#include "eval/whiten.h"

#include <stddef.h>

enum ps_together { PS_EACH, PS_CONCAT, PS_AVERAGE, PS_JOIN };
/* "none|concat|average|join", for an option table. */
extern const char ps_together_words[];

struct ps_inputs {
    const char *labels; /* labels file, or NULL */
    enum ps_together together;
    ps_whitening *whitening; /* applied to every file, or NULL; not owned */
    struct ps_embedding
        *gallery; /* relabelled with every set (eval/relabel.h), or NULL; not owned */
};

/* Loads and transforms one file; `labels` as for ps_embedding_load. */
int ps_inputs_load(const struct ps_inputs *inputs, struct ps_embedding *embedding, const char *path,
                   const char *labels);

/* Calls `work` for each file, or once for all of them combined (eval/combine.h). */
int ps_inputs_visit(const struct ps_inputs *inputs, char *const *files, size_t count,
                    int (*work)(void *context, const struct ps_embedding *embedding),
                    void *context);

/* Fits `dim` principal components (0: all) to the file. NULL with the error recorded. */
ps_whitening *ps_inputs_fit(const char *path, size_t dim, bool whiten);

#endif
