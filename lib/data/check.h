/* What a manifest holds, and what in it deserves a warning. */
#ifndef PS_DATA_CHECK_H
#define PS_DATA_CHECK_H

#include "data/manifest.h"

/* One split in numbers; images per class: smallest, median (lower of two), largest. */
struct ps_split_summary {
    size_t classes, images, least, median, most;
};

/* Sorts the manifest; a split without images is all zeros. */
int ps_manifest_summary(struct ps_manifest *manifest, struct ps_split_summary summary[PS_SPLITS]);

/*
 * Logs warnings: images with the same content (within a split counted, across splits named),
 * classes in both train and another split, query classes that the gallery lacks. Sorts the
 * manifest. Fails if it holds fewer than two images.
 */
int ps_manifest_check(struct ps_manifest *manifest);

#endif
