/* Verifies published checksums of data set archives. */
#ifndef PS_DATA_VERIFY_H
#define PS_DATA_VERIFY_H

#include "data/dataset.h"

/*
 * Checks the MD5 of every known file among paths[0..count) and directly inside folders among them.
 * Fails if one differs; warns if none is known.
 */
int ps_verify_known(const struct ps_known_file *known, char *const *paths, size_t count);

#endif
