/* Projection of embeddings to two dimensions. */
#ifndef PS_VIEW_PROJECT_H
#define PS_VIEW_PROJECT_H

#include <stddef.h>
#include <stdint.h>

/* First two principal components of the normalised rows of x (n, dim); out (n, 2). */
int ps_project_pca(const float *x, size_t n, size_t dim, double *out);

/*
 * Exact t-SNE (van der Maaten and Hinton, JMLR 2008) of the normalised rows, initialised with the
 * PCA projection, hence deterministic. Time and memory are quadratic in n.
 */
int ps_project_tsne(const float *x, size_t n, size_t dim, double perplexity, int steps,
                    double *out);

#endif
