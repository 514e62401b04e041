#include "data/feed.h"
#include "base/err.h"
#include "base/file.h"
#include "base/filekind.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/tsv.h"
#include "data/archive.h"
#include "data/dataset.h"
#include "data/format.h"
#include "data/image_file.h"
#include "data/pack_list.h"

#include <stdlib.h>
#include <string.h>

enum { LOOKED_AT = 4096 };

struct ps_feed {
    char *const *operands;
    size_t count, at;
    ps_names0 *names;
    bool report;
    size_t given; /* pictures so far */
    /* Of the operand that is being read: */
    const char *path;
    int (*next)(ps_feed *feed, struct ps_picture *picture); /* NULL: none is */
    size_t number;                                          /* of the next file, row or record */
    struct ps_source source;                                /* of a folder or archive */
    bool *listed;                                           /* (source.count) is it a picture? */
    size_t prefix; /* length of the archive's folder that holds all others */
    ps_archive *archive;
    ps_shard *shard;
    struct ps_tsv list;
};

static void close_operand(ps_feed *feed)
{
    ps_source_close(&feed->source);
    free(feed->listed);
    feed->listed = NULL;
    ps_archive_close(feed->archive);
    feed->archive = NULL;
    ps_shard_close(feed->shard);
    feed->shard = NULL;
    ps_tsv_free(&feed->list);
    feed->list = (struct ps_tsv){0};
    feed->next = NULL;
    feed->number = 0;
}

static int set_class(struct ps_picture *picture, const char *path, const char *name)
{
    const char *problem = ps_class_fault(name);
    if (problem)
        return ps_fail(PS_EFORMAT, "%s: class '%s': %s", path, name, problem);
    picture->class_name = ps_strdup(name);
    return picture->class_name ? PS_OK : PS_ENOMEM;
}

/* Class and role, as far as the path in a folder says them. */
static int class_by_folder(struct ps_picture *picture, const char *path, const char *name)
{
    bool validation;
    int split = ps_folder_split(name, &validation);
    if (split >= 0) {
        picture->role = ps_role_of((enum ps_split)split);
        name += strcspn(name, "/") + (strchr(name, '/') != NULL);
    }
    size_t length = (size_t)(ps_path_base(name) - name);
    if (!length)
        return PS_OK;
    char *class_name = ps_asprintf("%.*s", (int)(length - 1), name);
    int rc = class_name ? set_class(picture, path, class_name) : PS_ENOMEM;
    free(class_name);
    return rc;
}

static int next_file(ps_feed *feed, struct ps_picture *picture)
{
    const struct ps_source *source = &feed->source;
    while (feed->number < source->count && !feed->listed[feed->number])
        feed->number++;
    if (feed->number == source->count)
        return 0;
    const char *name = source->files[feed->number++].name;
    picture->name = ps_path_join(source->folder, name);
    int rc = picture->name ? class_by_folder(picture, feed->path, name) : PS_ENOMEM;
    return rc ? rc : 1;
}

/* The picture that is the current member of the archive. */
static int take_member(ps_feed *feed, const char *name, struct ps_picture *picture)
{
    const void *bytes;
    int rc = ps_archive_bytes(feed->archive, PS_IMAGE_MOST_BYTES, &bytes, &picture->length);
    if (rc)
        return rc;
    picture->name = ps_path_join(feed->path, name);
    picture->bytes = ps_calloc(picture->length + 1, 1);
    if (!picture->name || !picture->bytes)
        return PS_ENOMEM;
    memcpy(picture->bytes, bytes, picture->length);
    return class_by_folder(picture, feed->path, name + feed->prefix);
}

static int next_member(ps_feed *feed, struct ps_picture *picture)
{
    struct ps_member member;
    int more;
    while ((more = ps_archive_next(feed->archive, &member)) > 0) {
        ptrdiff_t file = ps_source_index(&feed->source, member.name);
        if (member.folder || file < 0 || !feed->listed[file])
            continue;
        int rc = take_member(feed, member.name, picture);
        return rc ? rc : 1;
    }
    return more;
}

static int next_record(ps_feed *feed, struct ps_picture *picture)
{
    struct ps_record record;
    if (feed->number == ps_shard_count(feed->shard))
        return 0;
    int rc = ps_shard_get(feed->shard, feed->number++, &record);
    if (rc)
        return rc;
    picture->name = ps_strdup(record.name);
    picture->class_name = ps_strdup(ps_shard_class_name(feed->shard, (size_t)record.label));
    picture->bytes = ps_calloc(record.length + 1, 1);
    if (!picture->name || !picture->class_name || !picture->bytes)
        return PS_ENOMEM;
    memcpy(picture->bytes, record.bytes, record.length);
    picture->length = record.length;
    picture->role = record.role;
    return 1;
}

static int next_row(ps_feed *feed, struct ps_picture *picture)
{
    const struct ps_tsv *list = &feed->list;
    size_t row = feed->number++;
    if (row == list->rows)
        return 0;
    int class = ps_tsv_column(list, "class"), split = ps_tsv_column(list, "split");
    char *folder = ps_path_folder(feed->path);
    if (!folder)
        return PS_ENOMEM;
    const char *name = ps_tsv_cell(list, row, ps_tsv_column(list, "path"));
    picture->name = ps_path_join(folder, name);
    free(folder);
    if (!picture->name)
        return PS_ENOMEM;
    if (!*name)
        return ps_fail(PS_EFORMAT, "%s:%zu: column 'path' is empty", feed->path, list->lines[row]);
    int number = split < 0 ? PS_SPLIT_TRAIN : ps_split_of(ps_tsv_cell(list, row, split));
    if (number < 0)
        return ps_fail(PS_EFORMAT, "%s:%zu: the split '%s' is not train, test, query or gallery",
                       feed->path, list->lines[row], ps_tsv_cell(list, row, split));
    picture->role = ps_role_of((enum ps_split)number);
    const char *label = class < 0 ? "" : ps_tsv_cell(list, row, class);
    int rc = *label ? set_class(picture, feed->path, label) : PS_OK;
    return rc ? rc : 1;
}

static int next_alone(ps_feed *feed, struct ps_picture *picture)
{
    if (feed->number++)
        return 0;
    picture->name = ps_strdup(feed->path);
    return picture->name ? 1 : PS_ENOMEM;
}

/* Lists a folder or archive, and finds the pictures in it. */
static int open_source(ps_feed *feed)
{
    struct ps_source *source = &feed->source;
    size_t others = 0;
    const char *first_other = NULL;
    int rc = ps_source_list(source, feed->path);
    if (rc)
        return rc;
    feed->listed = ps_calloc(source->count + 1, sizeof *feed->listed);
    rc = feed->listed ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < source->count && !rc; i++) {
        int is = ps_source_is_image(source, i);
        rc = is < 0 ? is : ps_interrupted() ? ps_fail_interrupted() : PS_OK;
        feed->listed[i] = is > 0;
        if (!feed->listed[i] && !others++)
            first_other = source->files[i].name;
    }
    if (rc)
        return rc;
    if (feed->report) {
        ps_source_report(source, others, first_other);
        if (others == source->count)
            ps_warn("%s: no pictures", feed->path);
    }
    feed->prefix = ps_folder_prefix(source, feed->listed);
    feed->next = next_file;
    if (source->folder)
        return PS_OK;
    feed->next = next_member;
    feed->archive = ps_archive_open(feed->path);
    return feed->archive ? PS_OK : (int)ps_error_code();
}

static int open_shard(ps_feed *feed)
{
    feed->next = next_record;
    feed->shard = ps_shard_open(feed->path);
    return feed->shard ? PS_OK : (int)ps_error_code();
}

static int open_list(ps_feed *feed)
{
    feed->next = next_row;
    int rc = ps_tsv_read(&feed->list, feed->path);
    if (!rc && ps_tsv_column(&feed->list, "path") < 0)
        rc = ps_fail(PS_EFORMAT,
                     "%s:%zu: no column 'path' in the header: not a list of pictures (plain names: "
                     "tr '\\n' '\\0' <FILE, and --files0-from -)",
                     feed->path, feed->list.header_line);
    if (!rc && feed->report && ps_tsv_column(&feed->list, "x0") >= 0)
        ps_warn("%s: boxes are not used (ps-pack --crop-boxes crops to them)", feed->path);
    return rc;
}

/* Opens what feed->path names. What cannot be read is a picture, which will be found broken. */
static int open_operand(ps_feed *feed)
{
    char head[LOOKED_AT];
    size_t length = 0;
    int rc = ps_image_file_head(feed->path, head, sizeof head, &length);
    if (rc > 0 || (rc && ps_is_folder(feed->path))) /* one may not be readable */
        return open_source(feed);
    if (rc && !ps_is_image_fault(rc))
        return rc;
    if (ps_is_shard_start(head, length))
        return open_shard(feed);
    bool picture = ps_is_image(head, length) || ps_is_image_name(feed->path);
    if (!picture && (ps_is_archive_start(head, length) || (!rc && ps_is_archive(feed->path))))
        return open_source(feed);
    if (!picture && ps_is_text(head, length))
        return open_list(feed);
    feed->next = next_alone;
    return PS_OK;
}

/* The next operand or name: 1, 0 after the last, or an error. */
static int next_operand(ps_feed *feed)
{
    int more = 0;
    if (feed->at < feed->count) {
        feed->path = feed->operands[feed->at++];
        more = 1;
    } else if (feed->names) {
        more = ps_names0_next(feed->names, &feed->path);
    }
    int rc = more > 0 ? open_operand(feed) : PS_OK;
    return rc ? rc : more;
}

ps_feed *ps_feed_open(char *const *operands, size_t count, ps_names0 *names, bool report)
{
    ps_feed *feed = ps_calloc(1, sizeof *feed);
    if (feed)
        *feed = (ps_feed){.operands = operands, .count = count, .names = names, .report = report};
    return feed;
}

void ps_feed_close(ps_feed *feed)
{
    if (!feed)
        return;
    close_operand(feed);
    free(feed);
}

int ps_feed_next(ps_feed *feed, struct ps_picture *picture)
{
    *picture = (struct ps_picture){0};
    for (;;) {
        if (ps_interrupted())
            return ps_fail_interrupted();
        int more = feed->next ? 1 : next_operand(feed);
        if (more <= 0 || !feed->next) {
            close_operand(feed);
            return more;
        }
        more = feed->next(feed, picture);
        if (more > 0) {
            picture->number = feed->given++;
            return 1;
        }
        ps_picture_free(picture);
        close_operand(feed);
        if (more < 0)
            return more;
    }
}
