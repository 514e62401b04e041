#include "data/archive.h"
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/mem.h"
#include "data/format.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Images do not shrink so much: what does is made to fill memory or to take hours. */
enum { FREE_BYTES = 1 << 28, MOST_RATIO = 1000 };

static locale_t utf8;

static void make_utf8(void)
{
    utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

struct ps_archive {
    struct archive *handle;
    struct archive_entry *entry; /* ours, as libarchive does not look whether it got one */
    char *path;
    char *name; /* of the current member */
    struct ps_text data;
    uint64_t unpacked; /* bytes so far */
};

bool ps_is_archive(const char *path)
{
    static const char *const suffixes[] = {".tar",    ".tgz",     ".tar.gz", ".tar.bz2",
                                           ".tar.xz", ".tar.zst", ".zip"};
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t tail = strlen(suffixes[i]);
        if (length > tail && !strcasecmp(path + length - tail, suffixes[i]))
            return true;
    }
    return false;
}

bool ps_is_archive_start(const void *bytes, size_t length)
{
    static const struct {
        size_t at, length;
        const char *magic;
    } starts[] = {{0, 4, "PK\3\4"},
                  {0, 4, "PK\5\6"},
                  {257, 5, "ustar"},
                  {0, 2, "\x1f\x8b"},
                  {0, 3, "BZh"},
                  {0, 5,
                   "\xfd"
                   "7zXZ"},
                  {0, 4, "\x28\xb5\x2f\xfd"}};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (starts[i].at + starts[i].length <= length &&
            !memcmp((const char *)bytes + starts[i].at, starts[i].magic, starts[i].length))
            return true;
    return false;
}

/*
 * Names in zip files and pax headers are UTF-8, which libarchive converts to the locale's encoding:
 * while it works, that is UTF-8 too.
 */
static locale_t to_utf8(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_utf8);
    return utf8 ? uselocale(utf8) : (locale_t)0;
}

static void back_from(locale_t before)
{
    if (before)
        uselocale(before);
}

/* Records what failed, `inside` the member or behind it: damage, or a method or memory lacking. */
static int fail_archive(const ps_archive *archive, bool inside)
{
    int number = archive_errno(archive->handle);
    const char *text = archive_error_string(archive->handle);
    const char *path = archive->path, *member = archive->name;
    if (number == ENOMEM)
        return ps_fail(PS_ENOMEM, "%s: out of memory", path);
    if (number > 0 && number != EILSEQ && number != EINVAL)
        return ps_fail(PS_EIO, "%s: cannot read: %s", path, text ? text : strerror(number));
    if (text && !strncasecmp(text, "unsupported", 11))
        return ps_fail(PS_ENOTSUP, "%s: member %s: %s (unpack the archive and give the folder)",
                       path, member ? member : "0", text);
    if (!member)
        return ps_fail(PS_EFORMAT, "%s: not an archive, or a damaged one: %s", path,
                       text ? text : "unknown format");
    return ps_fail(PS_EFORMAT, inside ? "%s: member %s is corrupt: %s" : "%s: corrupt after %s: %s",
                   path, member, text ? text : "unknown damage");
}

ps_archive *ps_archive_open(const char *path)
{
    if (!ps_is_file(path)) {
        ps_fail(PS_EIO, "%s: no such file, or not a regular file", path);
        return NULL;
    }
    ps_archive *archive = ps_calloc(1, sizeof *archive);
    if (!archive)
        return NULL;
    archive->path = ps_strdup(path);
    archive->handle = archive_read_new();
    if (!archive->path || !archive->handle) {
        ps_fail(PS_ENOMEM, "%s: out of memory", path);
        goto fail;
    }
    archive_read_support_filter_all(archive->handle);
    archive_read_support_format_tar(archive->handle);
    archive_read_support_format_zip(archive->handle);
    locale_t before = to_utf8();
    int status = archive_read_open_filename(archive->handle, path, 1 << 18);
    back_from(before);
    if (status == ARCHIVE_OK)
        return archive;
    fail_archive(archive, false);
fail:
    ps_archive_close(archive);
    return NULL;
}

void ps_archive_close(ps_archive *archive)
{
    if (!archive)
        return;
    archive_read_free(archive->handle);
    archive_entry_free(archive->entry);
    ps_text_free(&archive->data);
    free(archive->path);
    free(archive->name);
    free(archive);
}

static const char *kind_refused(struct archive_entry *entry)
{
    if (archive_entry_hardlink(entry))
        return "a hard link";
    if (archive_entry_sparse_count(entry) > 0)
        return "stored with holes (tar --sparse)";
    if (archive_entry_is_encrypted(entry))
        return "encrypted";
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
    case AE_IFDIR:
        return NULL;
    case AE_IFLNK:
        return "a symbolic link";
    case AE_IFCHR:
    case AE_IFBLK:
        return "a device";
    default:
        return "neither a file nor a folder";
    }
}

/* Keeps the member's name without "./" and without '/' at the end. */
static int keep_name(ps_archive *archive, struct archive_entry *entry)
{
    locale_t before = to_utf8();
    const char *raw = archive_entry_pathname(entry);
    back_from(before);
    if (!raw)
        return ps_fail(PS_EFORMAT, "%s: unreadable name of the member after %s", archive->path,
                       archive->name ? archive->name : "0");
    while (raw[0] == '.' && raw[1] == '/')
        raw += 2;
    free(archive->name);
    archive->name = ps_strdup(*raw ? raw : ".");
    if (!archive->name)
        return PS_ENOMEM;
    size_t length = strlen(archive->name);
    while (length > 1 && archive->name[length - 1] == '/')
        archive->name[--length] = '\0';
    return PS_OK;
}

int ps_archive_next(ps_archive *archive, struct ps_member *member)
{
    if (ps_interrupted())
        return ps_fail_interrupted();
    struct archive_entry *entry = archive->entry;
    if (!entry && !(entry = archive->entry = archive_entry_new2(archive->handle)))
        return ps_fail(PS_ENOMEM, "%s: out of memory", archive->path);
    locale_t before = to_utf8();
    int status = archive_read_next_header2(archive->handle, entry);
    back_from(before);
    if (status == ARCHIVE_EOF)
        return 0;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
        return fail_archive(archive, false);
    int rc = keep_name(archive, entry);
    if (rc)
        return rc;
    if (!ps_path_is_safe(archive->name))
        return ps_fail(PS_EFORMAT, "%s: member '%s' rejected: its path leaves the folder",
                       archive->path, archive->name);
    const char *refused = kind_refused(entry);
    if (refused)
        return ps_fail(PS_EFORMAT, "%s: member '%s' rejected: it is %s", archive->path,
                       archive->name, refused);
    *member = (struct ps_member){
        .name = archive->name,
        .folder = archive_entry_filetype(entry) == AE_IFDIR,
        .size = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : -1};
    return 1;
}

/* The next block of data: its length, 0 at the end, negative on damage. */
static la_ssize_t read_block(ps_archive *archive, void *block, size_t size)
{
    if (ps_interrupted())
        return ps_fail_interrupted();
    la_ssize_t got = archive_read_data(archive->handle, block, size);
    if (got < 0)
        return fail_archive(archive, true);
    archive->unpacked += (uint64_t)got;
    if (archive->unpacked > FREE_BYTES &&
        archive->unpacked / MOST_RATIO > ps_archive_consumed(archive))
        return ps_fail(PS_EFORMAT, "%s: member %s: unpacks to more than %d times its size",
                       archive->path, archive->name, MOST_RATIO);
    return got;
}

int ps_archive_bytes(ps_archive *archive, size_t limit, const void **bytes, size_t *length)
{
    char block[1 << 16];
    archive->data.length = 0;
    int rc = ps_text_add(&archive->data, "", 0);
    la_ssize_t got;
    while (!rc && (got = read_block(archive, block, sizeof block)) != 0) {
        if (got < 0)
            return (int)got;
        if ((size_t)got > limit - archive->data.length)
            return ps_fail(PS_EFORMAT, "%s: member %s is longer than the limit of %zu bytes",
                           archive->path, archive->name, limit);
        rc = ps_text_add(&archive->data, block, (size_t)got);
    }
    *bytes = archive->data.data;
    *length = archive->data.length;
    return rc;
}

int ps_archive_head(ps_archive *archive, void *bytes, size_t size, size_t *length)
{
    *length = 0;
    while (*length < size) {
        la_ssize_t got = read_block(archive, (char *)bytes + *length, size - *length);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        *length += (size_t)got;
    }
    return PS_OK;
}

uint64_t ps_archive_consumed(const ps_archive *archive)
{
    la_int64_t consumed = archive_filter_bytes(archive->handle, -1);
    return consumed > 0 ? (uint64_t)consumed : 0;
}

int ps_archive_hash(ps_archive *archive, struct ps_hash *hash, struct ps_text *head)
{
    ps_hasher *hasher = ps_hasher_new();
    if (!hasher)
        return PS_ENOMEM;
    char block[1 << 16];
    la_ssize_t got;
    int rc = PS_OK;
    while (!rc && (got = read_block(archive, block, sizeof block)) != 0) {
        rc = got < 0 ? (int)got : PS_OK;
        if (!rc && head->length < PS_FORMAT_HEAD)
            rc = ps_text_add(head, block, (size_t)got);
        if (!rc)
            ps_hasher_add(hasher, block, (size_t)got);
    }
    *hash = ps_hasher_result(hasher);
    ps_hasher_free(hasher);
    return rc;
}
