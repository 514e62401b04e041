#include "data/source.h"
#include "base/err.h"
#include "base/file.h"
#include "base/guard.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/archive.h"
#include "data/format.h"
#include "data/image_file.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TEXT_LIMIT = 64 << 20, TEXTS_LIMIT = 1 << 30 };

static bool has_ending(const char *name, const char *const *endings)
{
    size_t length = strlen(name);
    for (; *endings; endings++) {
        size_t tail = strlen(*endings);
        if (length > tail && !strcasecmp(name + length - tail, *endings))
            return true;
    }
    return false;
}

bool ps_is_image_name(const char *name)
{
    static const char *const endings[] = {".jpg",  ".jpeg", ".jpe", ".jfif", ".png", ".webp",
                                          ".gif",  ".bmp",  ".tif", ".tiff", ".ppm", ".pgm",
                                          ".pbm",  ".pnm",  ".jp2", ".j2k",  ".jxl", ".avif",
                                          ".heic", ".heif", ".tga", NULL};
    return has_ending(name, endings);
}

static bool is_annotation(const char *name)
{
    static const char *const endings[] = {".txt", ".mat", ".tsv", ".csv", ".cls", ".json", NULL};
    return has_ending(name, endings);
}

/* Hidden, or a folder or file that file managers, storage devices and archivers leave behind. */
static bool is_hidden_part(const char *part, size_t length)
{
    static const char *const made[] = {"__MACOSX",
                                       "@eaDir",
                                       "@tmp",
                                       "@Recycle",
                                       "@Recently-Snapshot",
                                       "#recycle",
                                       "#snapshot",
                                       "~snapshot",
                                       "$RECYCLE.BIN",
                                       "RECYCLER",
                                       "System Volume Information",
                                       "lost+found",
                                       "Network Trash Folder",
                                       "Temporary Items",
                                       "__pycache__",
                                       "Thumbs.db",
                                       "ehthumbs.db",
                                       "desktop.ini",
                                       "Icon\r"};
    if (*part == '.')
        return length > 1; /* the folder itself, in archives of "." */
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (strlen(made[i]) == length && !strncasecmp(part, made[i], length))
            return true;
    return false;
}

static bool is_hidden(const char *name)
{
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (is_hidden_part(part, strcspn(part, "/")))
            return true;
    }
    return false;
}

static int leave_out(struct ps_source *source, enum ps_left_out reason, const char *name)
{
    if (source->left_out[reason].count++)
        return PS_OK;
    source->left_out[reason].first = ps_strdup(name);
    return source->left_out[reason].first ? PS_OK : PS_ENOMEM;
}

int ps_source_add(struct ps_source *source, const char *name)
{
    int rc = ps_grow(&source->files, &source->capacity, source->count + 1, sizeof *source->files);
    if (rc)
        return rc;
    struct ps_source_file file = {.name = ps_strdup(name)};
    if (!file.name)
        return PS_ENOMEM;
    source->files[source->count++] = file;
    return PS_OK;
}

static int add_folder(struct ps_source *source, const char *name)
{
    int rc = ps_grow(&source->folders, &source->folder_capacity, source->folder_count + 1,
                     sizeof *source->folders);
    if (rc)
        return rc;
    char *copy = ps_strdup(name);
    if (!copy)
        return PS_ENOMEM;
    source->folders[source->folder_count++] = copy;
    return PS_OK;
}

/* One step of a walk through a folder; `skip` is the length of the folder's path and a '/'. */
static int add_found(struct ps_source *source, FTS *walk, FTSENT *found, size_t skip)
{
    if (ps_interrupted())
        return ps_fail_interrupted();
    const char *name = found->fts_pathlen > skip ? found->fts_path + skip : "";
    if (found->fts_info == FTS_DP)
        return PS_OK;
    if (found->fts_level > 0 && is_hidden(found->fts_name)) {
        fts_set(walk, found, FTS_SKIP);
        return leave_out(source, PS_LEFT_HIDDEN, name);
    }
    switch (found->fts_info) {
    case FTS_F:
        return ps_source_add(source, name);
    case FTS_D:
        return *name ? add_folder(source, name) : PS_OK;
    case FTS_DC:
        return ps_fail(PS_EFORMAT, "%s: symbolic link to a parent folder", found->fts_path);
    case FTS_SLNONE:
        return leave_out(source, PS_LEFT_DANGLING, name);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        errno = found->fts_errno;
        return ps_fail_errno("%s: cannot read", found->fts_path);
    default:
        return leave_out(source, PS_LEFT_SPECIAL, name);
    }
}

static int list_folder(struct ps_source *source)
{
    char *roots[] = {source->folder, NULL};
    ps_guard_begin("out of memory"); /* which fts_open() does not look at */
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    ps_guard_end();
    if (!walk)
        return ps_fail_errno("%s: cannot read", source->folder);
    size_t length = strlen(source->folder);
    size_t skip = length + !ps_has_suffix(source->folder, "/");
    int rc = PS_OK;
    FTSENT *found;
    errno = 0;
    while (!rc && (found = fts_read(walk)))
        rc = add_found(source, walk, found, skip);
    if (!rc && errno)
        rc = ps_fail_errno("%s: cannot read", source->folder);
    fts_close(walk);
    return rc;
}

static int sniff_member(struct ps_source_file *file, ps_archive *archive)
{
    char head[PS_FORMAT_HEAD];
    size_t length = 0;
    int rc =
        ps_is_image_name(file->name) ? PS_OK : ps_archive_head(archive, head, sizeof head, &length);
    file->sniffed = true;
    file->image = ps_is_image(head, length);
    return rc;
}

static int read_member(struct ps_source *source, struct ps_source_file *file, ps_archive *archive,
                       const struct ps_member *member)
{
    int rc;
    file->hashed = file->sniffed = true;
    if (!is_annotation(member->name) || member->size < 0 || member->size > TEXT_LIMIT) {
        struct ps_text head = {0};
        rc = ps_archive_hash(archive, &file->hash, &head);
        file->image = ps_is_image(head.data, head.length);
        ps_text_free(&head);
        return rc;
    }
    const void *bytes;
    size_t left = TEXTS_LIMIT - source->texts;
    rc = ps_archive_bytes(archive, left < TEXT_LIMIT ? left : TEXT_LIMIT, &bytes, &file->length);
    if (rc)
        return rc;
    source->texts += file->length;
    file->hash = ps_hash_bytes(bytes, file->length);
    file->text = ps_calloc(file->length + 1, 1);
    if (!file->text)
        return PS_ENOMEM;
    memcpy(file->text, bytes, file->length);
    return PS_OK;
}

static int add_member(struct ps_source *source, ps_archive *archive, const struct ps_member *member,
                      bool hash)
{
    if (is_hidden(member->name))
        return leave_out(source, PS_LEFT_HIDDEN, member->name);
    if (member->folder)
        return add_folder(source, member->name);
    int rc = ps_source_add(source, member->name);
    if (rc)
        return rc;
    struct ps_source_file *file = &source->files[source->count - 1];
    return hash ? read_member(source, file, archive, member) : sniff_member(file, archive);
}

static int list_archive(struct ps_source *source, bool hash)
{
    ps_archive *archive = ps_archive_open(source->path);
    if (!archive)
        return ps_error_code();
    struct ps_member member;
    uint64_t shown = 0;
    int rc;
    while ((rc = ps_archive_next(archive, &member)) > 0) {
        rc = add_member(source, archive, &member, hash);
        if (rc)
            break;
        uint64_t megabytes = ps_archive_consumed(archive) / 1000000;
        ps_progress_add(megabytes - shown);
        shown = megabytes;
    }
    ps_archive_close(archive);
    return rc;
}

static int by_name(const void *left, const void *right)
{
    const struct ps_source_file *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Order of two names read from their ends, of which only the last `limit` bytes count. */
static int compare_ends(const char *a, const char *b, size_t limit)
{
    size_t i = strlen(a), j = strlen(b);
    for (; i && j && limit; i--, j--, limit--)
        if (a[i - 1] != b[j - 1])
            return (unsigned char)a[i - 1] < (unsigned char)b[j - 1] ? -1 : 1;
    return !limit || i == j ? 0 : i ? 1 : -1;
}

static int by_end(const void *left, const void *right, void *context)
{
    const struct ps_source *source = context;
    return compare_ends(source->files[*(const uint32_t *)left].name,
                        source->files[*(const uint32_t *)right].name, SIZE_MAX);
}

static int sort_source(struct ps_source *source)
{
    if (source->count > UINT32_MAX)
        return ps_fail(PS_ENOTSUP, "%s: more than 4294967295 files", source->path);
    if (source->folder_count)
        qsort(source->folders, source->folder_count, sizeof *source->folders, by_text);
    if (!source->count)
        return PS_OK;
    qsort(source->files, source->count, sizeof *source->files, by_name);
    for (size_t i = 1; i < source->count; i++)
        if (!strcmp(source->files[i - 1].name, source->files[i].name))
            return ps_fail(PS_EFORMAT, "%s: duplicate member %s", source->path,
                           source->files[i].name);
    source->by_end = ps_calloc(source->count, sizeof *source->by_end);
    if (!source->by_end)
        return PS_ENOMEM;
    for (size_t i = 0; i < source->count; i++)
        source->by_end[i] = (uint32_t)i;
    qsort_r(source->by_end, source->count, sizeof *source->by_end, by_end, source);
    return PS_OK;
}

/* "cars_train" for "a/cars_train/", "a/cars_train.tar" and, in that folder, ".". */
static char *root_of(const char *path, bool archive)
{
    char *resolved = realpath(path, NULL);
    char *root = ps_strdup(ps_path_base(resolved ? resolved : path));
    free(resolved);
    if (root && archive)
        root[strcspn(root, ".")] = '\0';
    return root;
}

int ps_source_begin(struct ps_source *source, const char *folder)
{
    *source = (struct ps_source){
        .path = ps_strdup(folder), .folder = ps_strdup(folder), .root = root_of(folder, false)};
    if (source->path && source->folder && source->root)
        return PS_OK;
    ps_source_close(source);
    return PS_ENOMEM;
}

static int list(struct ps_source *source, bool archive, bool hash)
{
    source->root = root_of(source->path, archive);
    if (!source->root)
        return PS_ENOMEM;
    if (archive)
        return list_archive(source, hash);
    if (ps_is_folder(source->path)) {
        source->folder = ps_strdup(source->path);
        if (!source->folder)
            return PS_ENOMEM;
        for (size_t end = strlen(source->folder); end > 1 && source->folder[end - 1] == '/';)
            source->folder[--end] = '\0';
        return list_folder(source);
    }
    if (!ps_is_file(source->path))
        return ps_fail(PS_EIO, "%s: no such file or folder", source->path);
    source->folder = ps_path_folder(source->path);
    return source->folder ? ps_source_add(source, ps_path_base(source->path)) : PS_ENOMEM;
}

static int open_source(struct ps_source *source, const char *path, bool archive, bool hash)
{
    *source = (struct ps_source){.path = ps_strdup(path)};
    int rc = source->path ? list(source, archive, hash) : PS_ENOMEM;
    if (!rc)
        rc = sort_source(source);
    if (rc)
        ps_source_close(source);
    return rc;
}

int ps_source_open(struct ps_source *source, const char *path)
{
    return open_source(source, path, ps_is_archive(path) && ps_is_file(path), true);
}

int ps_source_list(struct ps_source *source, const char *path)
{
    return open_source(source, path, !ps_is_folder(path), false);
}

void ps_source_close(struct ps_source *source)
{
    for (size_t i = 0; i < source->count; i++) {
        free(source->files[i].name);
        free(source->files[i].text);
    }
    for (size_t i = 0; i < source->folder_count; i++)
        free(source->folders[i]);
    free(source->files);
    free(source->folders);
    for (int i = 0; i < PS_LEFT_REASONS; i++)
        free(source->left_out[i].first);
    free(source->by_end);
    free(source->path);
    free(source->folder);
    free(source->root);
    *source = (struct ps_source){0};
}

ptrdiff_t ps_source_index(const struct ps_source *source, const char *name)
{
    struct ps_source_file key = {.name = (char *)(uintptr_t)name};
    struct ps_source_file *found =
        source->count ? bsearch(&key, source->files, source->count, sizeof key, by_name) : NULL;
    return found ? found - source->files : -1;
}

/* The file whose name ends with `tail`, which begins with '/'; *twice if there are two. */
static ptrdiff_t find_ending(const struct ps_source *source, const char *tail, bool *twice)
{
    size_t low = 0, high = source->by_end ? source->count : 0, length = strlen(tail);
    size_t end = high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *name = source->files[source->by_end[middle]].name;
        if (compare_ends(name, tail, length) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *twice = false;
    if (low == end || !ps_has_suffix(source->files[source->by_end[low]].name, tail))
        return -1;
    *twice = low + 1 < end && ps_has_suffix(source->files[source->by_end[low + 1]].name, tail);
    return source->by_end[low];
}

int ps_source_find(const struct ps_source *source, const char *key, ptrdiff_t *index)
{
    *index = ps_source_index(source, key);
    size_t length = strlen(source->root);
    if (*index < 0 && !strncmp(key, source->root, length) && key[length] == '/')
        *index = ps_source_index(source, key + length + 1);
    if (*index >= 0)
        return PS_OK;
    char *tail = ps_asprintf("/%s", key);
    if (!tail)
        return PS_ENOMEM;
    bool twice;
    *index = find_ending(source, tail, &twice);
    free(tail);
    if (twice)
        return ps_fail(PS_EFORMAT,
                       "%s: several files match %s, for example %s (give the folder itself)",
                       source->path, key, source->files[*index].name);
    return PS_OK;
}

int ps_source_is_image(struct ps_source *source, size_t index)
{
    struct ps_source_file *file = &source->files[index];
    if (ps_is_image_name(file->name))
        return 1;
    if (file->sniffed)
        return file->image;
    char head[PS_FORMAT_HEAD], *path = ps_path_join(source->folder, file->name);
    size_t length = 0;
    int rc = path ? ps_image_file_head(path, head, sizeof head, &length) : PS_ENOMEM;
    free(path);
    if (rc < 0 && rc != PS_EINVAL && rc != PS_EFORMAT)
        return rc;
    file->sniffed = true;
    file->image = ps_is_image(head, length);
    return file->image;
}

int ps_source_text(const struct ps_source *source, size_t index, char **text, size_t *length)
{
    const struct ps_source_file *file = &source->files[index];
    if (!source->folder) {
        if (!file->text)
            return ps_fail(PS_EFORMAT, "%s: member %s is too long for an annotation file",
                           source->path, file->name);
        *text = ps_calloc(file->length + 1, 1);
        if (!*text)
            return PS_ENOMEM;
        memcpy(*text, file->text, file->length);
        *length = file->length;
        return PS_OK;
    }
    char *path = ps_path_join(source->folder, file->name);
    if (!path)
        return PS_ENOMEM;
    void *bytes;
    int rc = ps_file_read(path, TEXT_LIMIT, &bytes, length);
    free(path);
    if (!rc)
        *text = bytes;
    return rc;
}

int ps_source_hash(struct ps_source *source, size_t index)
{
    struct ps_source_file *file = &source->files[index];
    if (file->hashed)
        return PS_OK;
    char *path = ps_path_join(source->folder, file->name);
    if (!path)
        return PS_ENOMEM;
    int rc = ps_hash_file(path, &file->hash);
    free(path);
    file->hashed = !rc;
    return rc;
}

void ps_source_report(const struct ps_source *source, size_t others, const char *first_other)
{
    size_t hidden = source->left_out[PS_LEFT_HIDDEN].count;
    size_t special = source->left_out[PS_LEFT_SPECIAL].count;
    if (hidden)
        ps_info("%s: hidden or made by a machine, not entered: %zu, the first is %s", source->path,
                hidden, source->left_out[PS_LEFT_HIDDEN].first);
    if (special)
        ps_warn("%s: neither files nor folders: %zu, the first is %s", source->path, special,
                source->left_out[PS_LEFT_SPECIAL].first);
    if (others)
        ps_warn("%s: files that are no images, by name and content: %zu, the first is %s",
                source->path, others, first_other);
}
