/*
 * Reading .tar, .tgz, .tar.{gz,bz2,xz,zst} and .zip in place, member by member in the archive's
 * order; such files have no random access.
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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_member {
    const char *name; /* safe (ps_path_is_safe), without "./"; valid until the next call */
    bool folder;      /* a folder, without data; its name has no '/' at the end */
    int64_t size;     /* bytes of data as the archive states it, -1 if it does not: only a hint */
};

typedef struct ps_archive ps_archive;

/* True if the name is that of an archive this module reads. */
bool ps_is_archive(const char *path);

ps_archive *ps_archive_open(const char *path);
void ps_archive_close(ps_archive *archive);

/*
 * The next member: 1, 0 at the end, or negative. Skipping a member's data costs no copy. Fails,
 * with the member's name, on a name that leaves the archive's folder, a link, a device, damage.
 */
int ps_archive_next(ps_archive *archive, struct ps_member *member);

/*
 * The whole data of the current member, at most `limit` bytes, read once. *bytes belongs to the
 * archive and is valid until the next call; the caller may copy it.
 */
int ps_archive_bytes(ps_archive *archive, size_t limit, const void **bytes, size_t *length);

/* Bytes of the archive's file that have been read so far, for progress. */
uint64_t ps_archive_consumed(const ps_archive *archive);

/* The hash (ps_hash_bytes) and size of the current member's data, without keeping it. */
int ps_archive_hash(ps_archive *archive, struct ps_hash *hash, uint64_t *size);

#endif
