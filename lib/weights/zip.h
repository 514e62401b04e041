/* Zip archives with uncompressed records, as written by PyTorch. */
#ifndef PS_WEIGHTS_ZIP_H
#define PS_WEIGHTS_ZIP_H

#include <stddef.h>

struct ps_zip_record {
    const char *name; /* points into the archive; not terminated */
    size_t name_length;
    const unsigned char *data; /* NULL: compressed or encrypted, ps_zip_unreadable */
    size_t size;
};

/* Records of the central directory, sorted by name. */
struct ps_zip {
    struct ps_zip_record *records;
    size_t count;
};

/* Parses an archive (or zip64) in memory, which must outlive `zip`. Checks that records lie within
 * it and have unique names. `name` is for messages. After a failure `zip` is empty. */
int ps_zip_parse(struct ps_zip *zip, const char *name, const void *bytes, size_t length);
void ps_zip_free(struct ps_zip *zip);

/* The record whose name is folder followed by name, or NULL. */
const struct ps_zip_record *ps_zip_find(const struct ps_zip *zip, const char *folder,
                                        size_t folder_length, const char *name, size_t name_length);
/* PS_ENOTSUP, for a record without data that is needed. */
int ps_zip_unreadable(const char *archive, const struct ps_zip_record *record);

#endif
