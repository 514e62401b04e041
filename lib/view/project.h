/* Two-dimensional maps of embeddings. */
#ifndef PS_VIEW_PROJECT_H
#define PS_VIEW_PROJECT_H

#include <stddef.h>
#include <stdint.h>

/* The two directions of largest variance of the normalised rows; x (n, dim), out (n, 2). */
int ps_project_pca(const float *x, size_t n, size_t dim, double *out);

/*
 * t-SNE (van der Maaten and Hinton, JMLR 2008), exact, started from the PCA map: the same input
 * gives the same map. Distances are those of the normalised rows. Time and memory grow with n * n.
 */
int ps_project_tsne(const float *x, size_t n, size_t dim, double perplexity, int steps,
                    double *out);

#endif
