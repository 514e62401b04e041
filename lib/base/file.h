/* Files: reading whole files, atomic writes, folders and paths. */
#ifndef PS_BASE_FILE_H
#define PS_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Reads a whole file ("-" is stdin) into a new buffer, NUL-terminated (*length does
 * not count the NUL). Fails if the file is longer than `limit` bytes. free(*bytes).
 */
int ps_file_read(const char *path, size_t limit, void **bytes, size_t *length);

/* A read-only memory map. Truncating the file while it is read ends the program with an error. */
struct ps_map {
    const unsigned char *bytes;
    size_t length;
};
int ps_map_open(struct ps_map *map, const char *path);
void ps_map_close(struct ps_map *map);

/*
 * Atomic output: the file is written to a temporary name in the target's folder, synced and renamed
 * on commit. "-" is stdout; devices and pipes are written in place.
 *
 *     ps_out *out = ps_out_open(path);
 *     ... fprintf(ps_out_stream(out), ...) ...
 *     rc = ok ? ps_out_commit(out) : ps_out_abort(out);
 *
 * Both free `out`. Commit fails, leaving no target, if any earlier write failed.
 */
typedef struct ps_out ps_out;
ps_out *ps_out_open(const char *path);
FILE *ps_out_stream(ps_out *out);
int ps_out_commit(ps_out *out);
/* Removes the temporary file; returns ps_error_code(), to propagate the failure. */
int ps_out_abort(ps_out *out);

/* Writes a whole file atomically. */
int ps_file_write(const char *path, const void *bytes, size_t length);

/* Flushes and closes stdout, so that a write error (full disk) is reported. Call before exit. */
int ps_stdout_close(void);

/*
 * The temporary name used while `path` is written: same folder, leading dot, process id. For
 * libraries that open the path themselves. free() it.
 */
char *ps_temporary_name(const char *path);
/* Syncs `temporary`, renames it to `path`, syncs the folder. Removes `temporary` on failure. */
int ps_file_publish(const char *temporary, const char *path);

bool ps_is_folder(const char *path);
bool ps_is_file(const char *path);

/* mkdir -p. */
int ps_make_folder(const char *path);

/* "folder/name", or name alone if it is absolute or folder is "" or ".". free() it. */
char *ps_path_join(const char *folder, const char *name);
/* The folder part of a path, "." if it has none. free() it. */
char *ps_path_folder(const char *path);
/*
 * `path` relative to `folder`; absolute if they have only the root in common. Both must exist.
 * free() it; NULL with the error recorded.
 */
char *ps_path_relative(const char *folder, const char *path);
/* The part after the last '/'. Points into `path`. */
const char *ps_path_base(const char *path);
bool ps_has_suffix(const char *text, const char *suffix);

/*
 * True for a relative path that stays inside its folder: not empty, no leading '/', no ".."
 * component, no NUL or control character.
 */
bool ps_path_is_safe(const char *path);

#endif
