/* Average precision over the full ranking of the gallery, by blocked matrix products. */
#ifndef PS_EVAL_RANKING_H
#define PS_EVAL_RANKING_H

#include "eval/classes.h"
#include "eval/metrics.h"
#include "eval/neighbours.h"

/*
 * ap (task->queries): mean over the R gallery items with the query's label of the precision at the
 * item's rank; 0 if R is 0. `gallery` and `classes` are those of the task's gallery. The settings'
 * threads, ranks and progress are used.
 */
int ps_average_precision(double *ap, const struct ps_retrieval_task *task,
                         const ps_neighbours *gallery, const struct ps_classes *classes,
                         const struct ps_retrieval_settings *settings);

#endif
