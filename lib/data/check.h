/* Summary and sanity checks of a manifest. */
#ifndef PS_DATA_CHECK_H
#define PS_DATA_CHECK_H

#include "data/manifest.h"

/* Size of a split; least, (lower) median and most images per class. */
struct ps_split_summary {
    size_t classes, images, least, median, most;
};

/* Sorts the manifest. A split without images is all zeros. */
int ps_manifest_summary(struct ps_manifest *manifest, struct ps_split_summary summary[PS_SPLITS]);

/*
 * Warns about images with identical content (counted within a split, named across splits), classes
 * that train shares with another split, and query classes missing from the gallery. Sorts the
 * manifest. Fails if it has no images.
 */
int ps_manifest_check(struct ps_manifest *manifest);

#endif
