/*
 * Sequential reading of .tar, .tgz, .tar.{gz,bz2,xz,zst} and .zip archives, member by member,
 * without unpacking them.
 *
 *     ps_archive *archive = ps_archive_open(path);
 *     while ((rc = ps_archive_next(archive, &member)) > 0)
 *         if (wanted(member.name))
 *             ... ps_archive_bytes(archive, limit, &bytes, &length) or ps_archive_hash() ...
 *     ps_archive_close(archive);
 */
#ifndef PS_DATA_ARCHIVE_H
#define PS_DATA_ARCHIVE_H

#include "base/hash.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_member {
    const char *name; /* safe (ps_path_is_safe), no leading "./"; valid until the next call */
    bool folder;      /* a folder; its name has no trailing '/' */
    int64_t size;     /* bytes as stated by the archive, -1 if unknown; a hint only */
};

typedef struct ps_archive ps_archive;

/* True if the file name has the suffix of a supported archive. */
bool ps_is_archive(const char *path);
/* True for the first bytes, at least 262 of them if there are as many, of such an archive. */
bool ps_is_archive_start(const void *bytes, size_t length);

ps_archive *ps_archive_open(const char *path);
void ps_archive_close(ps_archive *archive);

/*
 * Advances to the next member: 1, 0 at the end, or an error, which names the member: a name that
 * leaves the archive's folder, a link, a device, a sparse or encrypted file, or damaged data.
 */
int ps_archive_next(ps_archive *archive, struct ps_member *member);

/*
 * Reads the current member's data, at most `limit` bytes; once per member. *bytes belongs to the
 * archive and is valid until the next call.
 */
int ps_archive_bytes(ps_archive *archive, size_t limit, const void **bytes, size_t *length);

/* Reads the first bytes of the current member, at most `size`; *length is how many. */
int ps_archive_head(ps_archive *archive, void *bytes, size_t size, size_t *length);

/* Compressed bytes read so far, for progress. */
uint64_t ps_archive_consumed(const ps_archive *archive);

/* Hash (ps_hash_bytes) of the current member's data, whose first bytes are appended to *head. */
int ps_archive_hash(ps_archive *archive, struct ps_hash *hash, struct ps_text *head);

#endif
