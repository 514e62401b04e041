#include "train/embed_feed.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "data/feed.h"
#include "data/image_file.h"
#include "data/quarantine.h"
#include "weights/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP = 256, GROUP_BYTES = 1 << 26 };

/* Pictures that are worked on at the same time. */
struct group {
    struct ps_picture pictures[GROUP];
    char *reasons[GROUP]; /* why a picture cannot be used, or NULL */
    size_t count, bytes;
};

static void drop_bytes(struct ps_picture *picture)
{
    free(picture->bytes);
    picture->bytes = NULL;
}

static int check_one(void *context, size_t i)
{
    struct group *group = context;
    int rc = ps_picture_check(&group->pictures[i]);
    drop_bytes(&group->pictures[i]);
    if (rc && ps_is_image_fault(rc)) {
        group->reasons[i] = ps_strdup(ps_error());
        rc = group->reasons[i] ? PS_OK : PS_ENOMEM;
    }
    ps_progress_add(1);
    return rc;
}

/* Moves a checked picture to the others, or lists it as broken. */
static int keep(struct ps_intake *intake, struct ps_picture *picture, const char *reason,
                struct ps_quarantine *quarantine)
{
    if (reason)
        return ps_quarantine_add(quarantine, picture->name, "",
                                 picture->class_name ? picture->class_name : "", reason);
    int rc =
        ps_grow(&intake->pictures, &intake->capacity, intake->count + 1, sizeof *intake->pictures);
    if (rc)
        return rc;
    intake->pictures[intake->count++] = *picture;
    *picture = (struct ps_picture){0};
    return PS_OK;
}

static int check_group(struct ps_intake *intake, struct group *group, int threads,
                       struct ps_quarantine *quarantine)
{
    int rc = ps_parallel_for(threads, group->count, check_one, group);
    for (size_t i = 0; i < group->count; i++) {
        if (!rc)
            rc = keep(intake, &group->pictures[i], group->reasons[i], quarantine);
        ps_picture_free(&group->pictures[i]);
        free(group->reasons[i]);
    }
    *group = (struct group){0};
    return rc;
}

/* Takes a picture out of the feed: 1, 0 at the end, or an error. */
static int take(ps_feed *feed, struct group *group)
{
    struct ps_picture *picture = &group->pictures[group->count];
    int more = ps_feed_next(feed, picture);
    if (more > 0) {
        group->count++;
        group->bytes += picture->length;
    }
    return more;
}

static bool is_full(const struct group *group)
{
    return group->count == GROUP || group->bytes >= GROUP_BYTES;
}

static int check_all(struct ps_intake *intake, ps_feed *feed, int threads,
                     struct ps_quarantine *quarantine)
{
    struct group *group = ps_calloc(1, sizeof *group);
    int more = group ? 1 : PS_ENOMEM, rc = PS_OK;
    while (more > 0 && !rc) {
        more = take(feed, group);
        if (more == 0 || is_full(group))
            rc = check_group(intake, group, threads, quarantine);
    }
    for (size_t i = 0; group && i < group->count; i++)
        ps_picture_free(&group->pictures[i]);
    free(group);
    return rc ? rc : more;
}

static int number_classes(struct ps_intake *intake)
{
    size_t named = 0;
    const char **names = intake->classes = ps_calloc(intake->count, sizeof *names);
    if (!names)
        return PS_ENOMEM;
    for (size_t i = 0; i < intake->count; i++)
        if (intake->pictures[i].class_name)
            names[named++] = intake->pictures[i].class_name;
    intake->class_count = ps_texts_unique(names, named);
    int rc = PS_OK;
    for (size_t c = 0; c < intake->class_count && !rc; c++)
        rc = ps_safetensors_check_text("class", names[c]);
    return rc;
}

int ps_intake_open(struct ps_intake *intake, char *const *operands, size_t count, int threads,
                   const char *quarantine)
{
    *intake = (struct ps_intake){.operands = operands, .operand_count = count};
    struct ps_quarantine broken;
    int rc = ps_quarantine_open(&broken, quarantine);
    if (rc)
        return rc;
    ps_feed *feed = ps_feed_open(operands, count, NULL, true);
    ps_progress_begin("checking", 0, "images");
    rc = feed ? check_all(intake, feed, threads, &broken) : PS_ENOMEM;
    ps_progress_end();
    ps_feed_close(feed);
    if (!rc && !intake->count && !broken.count)
        rc = ps_fail(PS_EINVAL, "%s: no pictures", operands[0]);
    rc = ps_quarantine_close(&broken, rc, intake->count + broken.count, "ps-embed");
    if (!rc)
        rc = number_classes(intake);
    if (rc)
        ps_intake_close(intake);
    return rc;
}

void ps_intake_close(struct ps_intake *intake)
{
    for (size_t i = 0; i < intake->count; i++)
        ps_picture_free(&intake->pictures[i]);
    free(intake->pictures);
    free(intake->classes);
    *intake = (struct ps_intake){0};
}

/* The second reading of the pictures. */
struct reading {
    const struct ps_intake *intake;
    ps_feed *feed;
    size_t at; /* pictures of the intake so far */
    struct group group;
};

static int fail_changed(const char *name)
{
    return ps_fail(PS_EMISMATCH, "%s: changed while it was being read", name);
}

/* Adds the next picture of the intake to the group, passing over the broken ones. */
static int take_next(struct reading *reading)
{
    const struct ps_picture *next = &reading->intake->pictures[reading->at];
    struct group *group = &reading->group;
    int more;
    while ((more = take(reading->feed, group)) > 0) {
        struct ps_picture *picture = &group->pictures[group->count - 1];
        if (picture->number == next->number) {
            if (strcmp(picture->name, next->name) != 0)
                return fail_changed(next->name);
            group->bytes += next->length - picture->length;
            picture->width = next->width;
            picture->height = next->height;
            picture->codec = next->codec;
            picture->hash = next->hash;
            reading->at++;
            return PS_OK;
        }
        group->bytes -= picture->length;
        group->count--;
        ps_picture_free(picture);
    }
    return more ? more : fail_changed(next->name);
}

static int read_again(void *context, size_t i)
{
    struct ps_picture *picture = &((struct group *)context)->pictures[i];
    struct ps_hash hash = picture->hash;
    int rc = ps_picture_read(picture);
    if (rc)
        return rc;
    return strcmp(hash.hex, picture->hash.hex) ? fail_changed(picture->name) : PS_OK;
}

/* Reads and decodes images first .. first + count - 1 of a pass of `batch`, group by group. */
static int fill(struct reading *reading, struct ps_embedder *embedder, size_t count, size_t batch)
{
    struct group *group = &reading->group;
    int rc = PS_OK;
    for (size_t done = 0; done < count && !rc;) {
        while (!rc && done + group->count < count && !is_full(group))
            rc = take_next(reading);
        if (!rc)
            rc = ps_parallel_for(embedder->workers, group->count, read_again, group);
        if (!rc)
            rc = ps_embedder_put(embedder, group->pictures, group->count, done, batch);
        done += group->count;
        for (size_t i = 0; i < group->count; i++)
            ps_picture_free(&group->pictures[i]);
        group->count = group->bytes = 0;
    }
    return rc;
}

static int embed_all(struct reading *reading, struct ps_embedder *embedder, size_t batch, float *x)
{
    size_t n = reading->intake->count;
    int rc = PS_OK;
    for (size_t done = 0; done < n && !rc; done += batch) {
        size_t count = n - done < batch ? n - done : batch;
        rc = fill(reading, embedder, count, batch);
        if (!rc)
            rc = ps_embedder_run(embedder, count, batch, x + done * embedder->dim);
        ps_progress_add(count);
    }
    return rc;
}

static int describe(struct ps_embedding *e, const struct ps_intake *intake)
{
    bool roles = false;
    for (size_t i = 0; i < e->n; i++) {
        const struct ps_picture *picture = &intake->pictures[i];
        const char **found = NULL;
        if (picture->class_name)
            found = bsearch(&picture->class_name, intake->classes, intake->class_count,
                            sizeof *intake->classes, ps_compare_texts);
        e->label[i] = found ? found - intake->classes : PS_NO_CLASS;
        e->id[i] = (int64_t)i;
        e->role[i] = (uint8_t)picture->role;
        roles |= picture->role != PS_ROLE_BOTH;
        if (!(e->name[i] = ps_strdup(picture->name)))
            return PS_ENOMEM;
    }
    if (!roles) {
        free(e->role);
        e->role = NULL;
    }
    struct ps_text names = {0};
    int rc = ps_text_add(&names, "", 0);
    for (size_t c = 0; c < intake->class_count && !rc; c++)
        rc = ps_text_printf(&names, "%s\n", intake->classes[c]);
    if (!rc)
        rc = ps_embedding_add_meta(e, "class_names", names.data);
    ps_text_free(&names);
    return rc;
}

int ps_intake_embed(const struct ps_intake *intake, struct ps_embedding *e,
                    struct ps_embedder *embedder, size_t batch)
{
    struct reading *reading = ps_calloc(1, sizeof *reading);
    int rc = ps_embedding_new(e, intake->count, embedder->dim);
    if (!reading)
        rc = PS_ENOMEM;
    if (!rc)
        rc = describe(e, intake);
    if (!rc) {
        reading->intake = intake;
        reading->feed = ps_feed_open(intake->operands, intake->operand_count, NULL, false);
        ps_progress_begin("embedding", e->n, "images");
        rc = reading->feed ? embed_all(reading, embedder, ps_embed_batch(e->n, batch), e->x)
                           : PS_ENOMEM;
        ps_progress_end();
    }
    if (reading) {
        for (size_t i = 0; i < reading->group.count; i++)
            ps_picture_free(&reading->group.pictures[i]);
        ps_feed_close(reading->feed);
    }
    free(reading);
    if (!rc)
        rc = ps_embedding_add_meta(e, "model_id", embedder->id);
    if (rc)
        ps_embedding_free(e);
    return rc;
}
