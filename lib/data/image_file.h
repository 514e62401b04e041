/* Reading one of many image files, of which a bad one is skipped. */
#ifndef PS_DATA_IMAGE_FILE_H
#define PS_DATA_IMAGE_FILE_H

#include <stdbool.h>
#include <stddef.h>

enum { PS_IMAGE_MOST_BYTES = 1 << 30 }; /* larger files are refused */

/*
 * Is an error the fault of one image, so that the others may be worked on? A shortage, of which the
 * image knows nothing, is not.
 */
bool ps_is_image_fault(int rc);

/*
 * Reads a regular file of at most `limit` bytes; free(*bytes). PS_EINVAL or PS_EFORMAT where this
 * file is at fault (missing, not readable, not a regular file), PS_EIO or PS_ENOMEM where
 * something else is: too few descriptors, a device that fails.
 */
int ps_image_file_read(const char *path, size_t limit, void **bytes, size_t *length);

/* The first bytes of a regular file, at most `size`; *length is how many. 1, and none, for a
 * folder; errors as above. */
int ps_image_file_head(const char *path, void *bytes, size_t size, size_t *length);

#endif
