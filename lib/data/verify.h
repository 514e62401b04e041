/* Published checksums of the archives of known data sets. */
#ifndef PS_DATA_VERIFY_H
#define PS_DATA_VERIFY_H

#include "data/dataset.h"

/*
 * Compares the MD5 of those of paths[0..count), or of the files directly in a folder among them,
 * that have a known name. Fails if one differs; warns if none is known.
 */
int ps_verify_known(const struct ps_known_file *known, char *const *paths, size_t count);

#endif
