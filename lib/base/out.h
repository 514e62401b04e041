/*
 * Atomic output: a file is written to a temporary name in the target's folder, synced and renamed
 * on commit. "-" is stdout; devices and pipes are written in place.
 *
 *     ps_out *out = ps_out_open(path);
 *     ... fprintf(ps_out_stream(out), ...) ...
 *     rc = ok ? ps_out_commit(out) : ps_out_abort(out);
 *
 * Commit fails, leaving no target, if any earlier write failed. Open, commit and abort report with
 * the name of the file; what writes to the stream need not.
 */
#ifndef PS_BASE_OUT_H
#define PS_BASE_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct ps_out ps_out;
ps_out *ps_out_open(const char *path);
FILE *ps_out_stream(ps_out *out);
/* Frees `out`, also on failure. */
int ps_out_commit(ps_out *out);
/* The same without syncing, for thousands of small files. */
int ps_out_commit_unsynced(ps_out *out);
/*
 * Commits two files that belong together. Whatever happens, a new `part` never lies beside an old
 * `whole`.
 */
int ps_out_commit_both(ps_out *part, ps_out *whole);
/* Removes the temporary file and frees `out`; returns the failure, to propagate it. */
int ps_out_abort(ps_out *out);

/* Writes a whole file atomically. */
int ps_file_write(const char *path, const void *bytes, size_t length);

/*
 * Fails where writing `bytes` bytes to `path` would: folder, rights, name, space, limits. For
 * before the long computation whose result goes there. Leaves nothing behind.
 */
int ps_out_check(const char *path, uint64_t bytes);

/* Flushes and closes stdout, so that a write error (full disk) is reported. Call before exit. */
int ps_stdout_close(void);

/*
 * The temporary name used while `path` is written: same folder, leading dot, process id. For
 * libraries that open the path themselves. free() it.
 */
char *ps_temporary_name(const char *path);
/* Removes the temporary files of this process, which is about to end; callable by signal handlers.
 */
void ps_temporaries_remove(void);
/* Is `entry` the temporary name of a file `base` in the same folder, of some process? */
bool ps_is_temporary_of(const char *entry, const char *base);
/* Syncs `temporary`, renames it to `path`, syncs the folder. Removes `temporary` on failure. */
int ps_file_publish(const char *temporary, const char *path);

#endif
