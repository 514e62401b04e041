/* From the names of embedding files to the sets that are measured. */
#ifndef PS_EVAL_INPUTS_H
#define PS_EVAL_INPUTS_H

#include "eval/embedding.h"
#include "eval/whiten.h"

#include <stddef.h>

enum ps_together { PS_EACH, PS_CONCAT, PS_AVERAGE, PS_JOIN };
/* "none|concat|average|join", for an option table. */
extern const char ps_together_words[];

struct ps_inputs {
    const char *labels; /* of .npy files, or NULL */
    enum ps_together together;
    ps_whitening *whitening; /* applied to every file, or NULL; not owned */
};

/* One file, whitened. */
int ps_inputs_load(const struct ps_inputs *inputs, struct ps_embedding *embedding, const char *path,
                   const char *labels);

/* Calls work for each file in turn, or once for all of them as one set (eval/combine.h). */
int ps_inputs_visit(const struct ps_inputs *inputs, char *const *files, size_t count,
                    int (*work)(void *context, const struct ps_embedding *embedding),
                    void *context);

/* The components of the file `path`: `dim` of them, 0: all. NULL with the error recorded. */
ps_whitening *ps_inputs_fit(const char *path, size_t dim, bool whiten);

#endif
