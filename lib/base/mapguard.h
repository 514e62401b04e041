/*
 * A mapped file that another program truncates ends this one by SIGBUS. For guarded maps that
 * becomes one line naming the file, and exit status 1.
 */
#ifndef PS_BASE_MAPGUARD_H
#define PS_BASE_MAPGUARD_H

#include <stddef.h>

/* From then on until ps_map_unguard. Thread-safe; beyond 64 maps at a time it does nothing. */
void ps_map_guard(const void *bytes, size_t length, const char *path);
void ps_map_unguard(const void *bytes);

#endif
