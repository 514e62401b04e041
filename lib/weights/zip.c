#include "weights/zip.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The structures of the format (PKWARE's APPNOTE): signature and fixed size. */
enum {
    LOCAL = 0x04034b50,
    LOCAL_SIZE = 30,
    CENTRAL = 0x02014b50,
    CENTRAL_SIZE = 46,
    END = 0x06054b50,
    END_SIZE = 22,
    END64 = 0x06064b50,
    END64_SIZE = 56,
    LOCATOR64 = 0x07064b50,
    LOCATOR64_SIZE = 20,
    EXTRA_ZIP64 = 1,
    FLAG_ENCRYPTED = 1,
    MAX_COMMENT = 65535,
};

struct archive {
    const char *name;
    const unsigned char *bytes;
    size_t length;
};

static uint64_t number(const unsigned char *at, int size)
{
    uint64_t value = 0;
    for (int i = size - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

/* The structure of that signature and size at a position, or NULL. */
static const unsigned char *structure(const struct archive *archive, uint64_t at,
                                      uint32_t signature, size_t size)
{
    if (at > archive->length || archive->length - at < size)
        return NULL;
    const unsigned char *found = archive->bytes + at;
    return number(found, 4) == signature ? found : NULL;
}

static int damaged(const struct archive *archive, const char *what)
{
    return ps_fail(PS_EFORMAT, "%s: zip archive: %s; is the file cut short?", archive->name, what);
}

/* Where the central directory lies and how many records it has. */
static int find_directory(const struct archive *archive, uint64_t *at, uint64_t *size,
                          uint64_t *count)
{
    const unsigned char *end = NULL;
    size_t comment = 0;
    for (; !end && comment <= MAX_COMMENT && archive->length >= END_SIZE + comment; comment++)
        end = structure(archive, archive->length - END_SIZE - comment, END, END_SIZE);
    if (!end || number(end + 20, 2) != comment - 1)
        return damaged(archive, "no end record");
    *count = number(end + 10, 2);
    *size = number(end + 12, 4);
    *at = number(end + 16, 4);
    size_t end_at = (size_t)(end - archive->bytes);
    const unsigned char *locator =
        end_at < LOCATOR64_SIZE
            ? NULL
            : structure(archive, end_at - LOCATOR64_SIZE, LOCATOR64, LOCATOR64_SIZE);
    if (locator) {
        const unsigned char *end64 = structure(archive, number(locator + 8, 8), END64, END64_SIZE);
        if (!end64)
            return damaged(archive, "no zip64 end record");
        *count = number(end64 + 32, 8);
        *size = number(end64 + 40, 8);
        *at = number(end64 + 48, 8);
    }
    if (*at > end_at || *size > end_at - *at || *count > *size / CENTRAL_SIZE)
        return damaged(archive, "the directory lies outside the file");
    return PS_OK;
}

/* Replaces the 32-bit fields that are all ones by those of the zip64 extra field, in order. */
static int read_zip64(const struct archive *archive, const unsigned char *extra, size_t length,
                      uint64_t *fields[3])
{
    while (length >= 4) {
        size_t size = number(extra + 2, 2);
        if (size > length - 4)
            break;
        if (number(extra, 2) != EXTRA_ZIP64) {
            extra += 4 + size;
            length -= 4 + size;
            continue;
        }
        extra += 4;
        for (int i = 0; i < 3; i++) {
            if (*fields[i] != UINT32_MAX)
                continue;
            if (size < 8)
                return damaged(archive, "a zip64 field is too short");
            *fields[i] = number(extra, 8);
            extra += 8;
            size -= 8;
        }
        return PS_OK;
    }
    return PS_OK;
}

/* Reads one record of the directory at `*at`, which moves behind it. */
static int read_record(const struct archive *archive, uint64_t *at, struct ps_zip_record *record)
{
    const unsigned char *central = structure(archive, *at, CENTRAL, CENTRAL_SIZE);
    if (!central)
        return damaged(archive, "a directory entry is missing");
    size_t name_length = number(central + 28, 2), extra = number(central + 30, 2);
    size_t comment = number(central + 32, 2);
    *at += CENTRAL_SIZE;
    if (archive->length - *at < name_length + extra + comment)
        return damaged(archive, "a directory entry is too long");
    record->name = (const char *)central + CENTRAL_SIZE;
    record->name_length = name_length;
    uint64_t packed = number(central + 20, 4), size = number(central + 24, 4);
    uint64_t local_at = number(central + 42, 4);
    int rc = read_zip64(archive, central + CENTRAL_SIZE + name_length, extra,
                        (uint64_t *[]){&size, &packed, &local_at});
    if (rc)
        return rc;
    *at += name_length + extra + comment;
    if (number(central + 10, 2) || (number(central + 8, 2) & FLAG_ENCRYPTED) || packed != size)
        return PS_OK;
    const unsigned char *local = structure(archive, local_at, LOCAL, LOCAL_SIZE);
    if (!local)
        return damaged(archive, "a record is missing");
    uint64_t data_at = local_at + LOCAL_SIZE + number(local + 26, 2) + number(local + 28, 2);
    if (data_at > archive->length || size > archive->length - data_at)
        return damaged(archive, "a record lies outside the file");
    record->data = archive->bytes + data_at;
    record->size = size;
    return PS_OK;
}

int ps_zip_unreadable(const char *archive, const struct ps_zip_record *record)
{
    return ps_fail(PS_ENOTSUP,
                   "%s: record %.*s of the zip archive is compressed or encrypted; PyTorch stores "
                   "plainly",
                   archive, (int)record->name_length, record->name);
}

static int compare_text(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_records(const void *left, const void *right)
{
    const struct ps_zip_record *a = left, *b = right;
    return compare_text(a->name, a->name_length, b->name, b->name_length);
}

static int read_directory(struct ps_zip *zip, const struct archive *archive)
{
    uint64_t at, size, count;
    int rc = find_directory(archive, &at, &size, &count);
    if (rc)
        return rc;
    zip->records = ps_calloc(count, sizeof *zip->records);
    if (!zip->records)
        return PS_ENOMEM;
    for (zip->count = 0; zip->count < count; zip->count++)
        if ((rc = read_record(archive, &at, &zip->records[zip->count])))
            return rc;
    qsort(zip->records, zip->count, sizeof *zip->records, compare_records);
    for (size_t i = 1; i < zip->count; i++)
        if (!compare_records(&zip->records[i - 1], &zip->records[i]))
            return damaged(archive, "two records have the same name");
    return PS_OK;
}

int ps_zip_parse(struct ps_zip *zip, const char *name, const void *bytes, size_t length)
{
    *zip = (struct ps_zip){0};
    struct archive archive = {.name = name, .bytes = bytes, .length = length};
    int rc = read_directory(zip, &archive);
    if (rc)
        ps_zip_free(zip);
    return rc;
}

void ps_zip_free(struct ps_zip *zip)
{
    free(zip->records);
    *zip = (struct ps_zip){0};
}

const struct ps_zip_record *ps_zip_find(const struct ps_zip *zip, const char *folder,
                                        size_t folder_length, const char *name, size_t name_length)
{
    size_t low = 0, high = zip->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ps_zip_record *record = &zip->records[middle];
        int order;
        if (record->name_length < folder_length)
            order = compare_text(record->name, record->name_length, folder, folder_length);
        else
            order = memcmp(record->name, folder, folder_length);
        if (!order)
            order = compare_text(record->name + folder_length, record->name_length - folder_length,
                                 name, name_length);
        if (!order)
            return record;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
