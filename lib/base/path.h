/* Names of files: joining, splitting and judging them. */
#ifndef PS_BASE_PATH_H
#define PS_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* "folder/name", or name alone if it is absolute or folder is "" or ".". free() it. */
char *ps_path_join(const char *folder, const char *name);
/* The folder part of a path, "." if it has none. free() it. */
char *ps_path_folder(const char *path);
/*
 * `path` relative to `folder`; absolute if they have only the root in common. Both must exist.
 * free() it; NULL with the error recorded.
 */
char *ps_path_relative(const char *folder, const char *path);
/* The file of the running program; NULL if it is not known. free() it. */
char *ps_path_program(void);
/* The part after the last '/'. Points into `path`. */
const char *ps_path_base(const char *path);
bool ps_has_suffix(const char *text, const char *suffix);

/*
 * True for a relative path that stays inside its folder: not empty, no leading '/', no ".."
 * component, no NUL or control character.
 */
bool ps_path_is_safe(const char *path);

#endif
