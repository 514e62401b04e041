/* Code that is loaded when it is needed: ps-cuda.so, ps-mpi.so. */
#ifndef PS_BASE_PLUGIN_H
#define PS_BASE_PLUGIN_H

/*
 * Loads `file` from beside the program (build tree) or ../lib/ps (installed) and returns what its
 * symbol `name` points to. Never unloaded. NULL with the error recorded: PS_ENOTSUP.
 */
const void *ps_plugin_load(const char *file, const char *name);

#endif
