/*
 * Pictures as a command line names them, one after the other. A name is that of
 *   - a folder, or an archive: all pictures in it, found and classed as ps-prepare's data set
 *     `folder` does, the members of an archive in its order, the files of a folder sorted;
 *   - a shard: its records;
 *   - a list, a table with a column `path` and perhaps `class` and `split`;
 *   - any other file: a picture, which may turn out to be none when it is checked.
 * Which of these a file is, is told by its contents.
 *
 *     ps_feed *feed = ps_feed_open(operands, count, names, true);
 *     while ((rc = ps_feed_next(feed, &picture)) > 0) {
 *         rc = ps_picture_check(&picture);
 *         if (rc && !ps_is_image_fault(rc)) ...
 *         ps_picture_free(&picture);
 *     }
 *     ps_feed_close(feed);
 */
#ifndef PS_DATA_FEED_H
#define PS_DATA_FEED_H

#include "base/names0.h"
#include "data/picture.h"

#include <stdbool.h>

typedef struct ps_feed ps_feed;

/*
 * The pictures of operands[0..count), then those of `names`, if that is not NULL; both must outlive
 * the feed. `report`: log what folders and archives hold beside pictures. NULL when out of memory.
 */
ps_feed *ps_feed_open(char *const *operands, size_t count, ps_names0 *names, bool report);
void ps_feed_close(ps_feed *feed);

/*
 * 1 with the next picture, which the caller frees; 0 at the end; or an error of its folder,
 * archive, list or shard. Reads no further than it must: of `names`, one by one.
 */
int ps_feed_next(ps_feed *feed, struct ps_picture *picture);

#endif
