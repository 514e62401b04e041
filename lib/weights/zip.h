/* Zip archives whose records are stored without compression, as PyTorch writes them. */
#ifndef PS_WEIGHTS_ZIP_H
#define PS_WEIGHTS_ZIP_H

#include <stddef.h>

struct ps_zip_record {
    const char *name; /* points into the archive; not terminated */
    size_t name_length;
    const unsigned char *data;
    size_t size;
};

/* The records of the central directory, sorted by name. */
struct ps_zip {
    struct ps_zip_record *records;
    size_t count;
};

/* Parses an archive (zip64 too) in memory, which must outlive `zip`. Records lie inside the bytes
 * and have different names. A compressed or encrypted record is PS_ENOTSUP. `name` is for messages.
 * After a failure `zip` is empty. */
int ps_zip_parse(struct ps_zip *zip, const char *name, const void *bytes, size_t length);
void ps_zip_free(struct ps_zip *zip);

/* The record named by the two parts together, or NULL. */
const struct ps_zip_record *ps_zip_find(const struct ps_zip *zip, const char *folder,
                                        size_t folder_length, const char *name, size_t name_length);

#endif
