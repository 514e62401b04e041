/* How much of the processors a control group grants. */
#ifndef PS_BASE_QUOTA_H
#define PS_BASE_QUOTA_H

/*
 * Processors that this process may use at once, such as 1.5: the least of the cpu.max (version 2)
 * or cpu.cfs_quota_us (version 1) of its control group and those above. INFINITY: no limit is set.
 * `root` stands before the paths /proc and /sys; "" outside tests.
 */
double ps_cpu_quota(const char *root);

#endif
