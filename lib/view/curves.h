/* Training curves of many runs. */
#ifndef PS_VIEW_CURVES_H
#define PS_VIEW_CURVES_H

#include <stddef.h>

/*
 * Plots `metric` ("recall@1", "loss", any number in log.jsonl) over epochs to an SVG or PNG. runs:
 * run folders of ps-train. Folders named seedN in one parent form one curve, titled by the parent:
 * mean and a band of one standard deviation, over the epochs that all of them have reached. Of
 * several values in an epoch the last counts.
 */
int ps_curves_write(const char *metric, char *const *runs, size_t count, const char *path);

#endif
