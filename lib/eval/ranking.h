/* Average precision over the whole gallery, in blocks of a matrix product. */
#ifndef PS_EVAL_RANKING_H
#define PS_EVAL_RANKING_H

#include "eval/classes.h"
#include "eval/metrics.h"
#include "eval/neighbours.h"

/*
 * ap (task->queries) = (1/R) sum over the R items i of the query's label of precision at the rank
 * of i. 0 for a query without any. `gallery` and `classes` are those of the task's gallery.
 */
int ps_average_precision(double *ap, const struct ps_retrieval_task *task,
                         const ps_neighbours *gallery, const struct ps_classes *classes,
                         int threads, bool progress);

#endif
