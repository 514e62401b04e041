/* Training curves of many runs. */
#ifndef PS_VIEW_CURVES_H
#define PS_VIEW_CURVES_H

#include <stddef.h>

/*
 * Draws `metric` ("recall@1", "loss", any number of log.jsonl) over epochs to an SVG or PNG. runs:
 * folders that ps-train wrote. Runs named seedN form one curve with the runs beside them, named by
 * the folder that holds them: the mean with a band of one standard deviation, over the epochs that
 * all of them have reached. Where an epoch has several values, the last counts.
 */
int ps_curves_write(const char *metric, char *const *runs, size_t count, const char *path);

#endif
