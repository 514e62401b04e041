/* CUB-200-2011: images.txt, image_class_labels.txt, classes.txt, bounding_boxes.txt. */
#include "base/err.h"
#include "base/mem.h"
#include "base/number.h"
#include "data/dataset.h"
#include "data/lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 11788, CLASSES = 200, TRAIN_CLASSES = 100 };

struct image {
    const char *path;
    long class_number; /* 0: not known */
    int32_t box[4];
    bool has_box;
};

struct cub {
    char *texts[4], *places[4];
    struct image images[IMAGES + 1]; /* by their number, from 1 */
    const char *classes[CLASSES + 1];
};

static int read_images(struct cub *cub)
{
    struct ps_lines lines = {.next = cub->texts[0], .where = cub->places[0]};
    char *fields[2];
    size_t got;
    while ((got = ps_lines_next(&lines, 0, fields, 2)) > 0) {
        long id;
        int rc = got < 2 ? ps_lines_fail(&lines, "expected: NUMBER PATH")
                         : ps_lines_number(&lines, "image", fields[0], 1, IMAGES, &id);
        if (rc)
            return rc;
        cub->images[id].path = fields[1];
    }
    return PS_OK;
}

static int read_labels(struct cub *cub)
{
    struct ps_lines lines = {.next = cub->texts[1], .where = cub->places[1]};
    char *fields[2];
    size_t got;
    while ((got = ps_lines_next(&lines, 0, fields, 2)) > 0) {
        long id, number;
        int rc = got < 2 ? ps_lines_fail(&lines, "expected: NUMBER CLASS")
                         : ps_lines_number(&lines, "image", fields[0], 1, IMAGES, &id);
        if (!rc)
            rc = ps_lines_number(&lines, "class", fields[1], 1, CLASSES, &number);
        if (rc)
            return rc;
        cub->images[id].class_number = number;
    }
    return PS_OK;
}

static int read_classes(struct cub *cub)
{
    struct ps_lines lines = {.next = cub->texts[2], .where = cub->places[2]};
    char *fields[2];
    size_t got;
    while ((got = ps_lines_next(&lines, 0, fields, 2)) > 0) {
        long number;
        int rc = got < 2 ? ps_lines_fail(&lines, "expected: NUMBER NAME")
                         : ps_lines_number(&lines, "class", fields[0], 1, CLASSES, &number);
        if (rc)
            return rc;
        cub->classes[number] = fields[1];
    }
    return PS_OK;
}

static bool parse_box(char *fields[5], int32_t box[4])
{
    double values[4];
    for (int i = 0; i < 4; i++) {
        if (!ps_parse_real(fields[i + 1], &values[i]) || fabs(values[i]) >= 1e6)
            return false;
    }
    box[0] = (int32_t)floor(values[0]);
    box[1] = (int32_t)floor(values[1]);
    box[2] = (int32_t)ceil(values[0] + values[2]);
    box[3] = (int32_t)ceil(values[1] + values[3]);
    return true;
}

static int read_boxes(struct cub *cub)
{
    struct ps_lines lines = {.next = cub->texts[3], .where = cub->places[3]};
    char *fields[5];
    size_t got;
    while ((got = ps_lines_next(&lines, 0, fields, 5)) > 0) {
        long id;
        int rc = got < 5 ? ps_lines_fail(&lines, "expected: NUMBER X Y WIDTH HEIGHT")
                         : ps_lines_number(&lines, "image", fields[0], 1, IMAGES, &id);
        if (!rc && !parse_box(fields, cub->images[id].box))
            rc = ps_lines_fail(&lines, "expected a box of four numbers");
        if (rc)
            return rc;
        cub->images[id].has_box = true;
    }
    return PS_OK;
}

static int add_images(struct ps_prepare *prepare, struct cub *cub)
{
    int rc = PS_OK;
    for (size_t i = 1; i <= IMAGES && !rc; i++) {
        struct image *image = &cub->images[i];
        if (!image->path)
            continue;
        if (!image->class_number || !cub->classes[image->class_number])
            return ps_fail(PS_EFORMAT, "%s: image %zu has no named class", cub->places[1], i);
        char *key = ps_asprintf("images/%s", image->path);
        if (!key)
            return PS_ENOMEM;
        rc = ps_prepare_add(prepare, key, cub->classes[image->class_number],
                            image->class_number <= TRAIN_CLASSES ? PS_SPLIT_TRAIN : PS_SPLIT_TEST,
                            image->has_box ? image->box : NULL);
        free(key);
    }
    return rc;
}

static int list(struct ps_prepare *prepare)
{
    static const char *const names[4] = {"images.txt", "image_class_labels.txt", "classes.txt",
                                         "bounding_boxes.txt"};
    struct cub *cub = ps_calloc(1, sizeof *cub);
    if (!cub)
        return PS_ENOMEM;
    int rc = PS_OK;
    size_t length;
    for (int i = 0; i < 4 && !rc; i++)
        rc = (i < 3 ? ps_prepare_need : ps_prepare_text)(prepare, names[i], &cub->texts[i], &length,
                                                         &cub->places[i]);
    if (!rc)
        rc = read_images(cub);
    if (!rc)
        rc = read_labels(cub);
    if (!rc)
        rc = read_classes(cub);
    if (!rc)
        rc = read_boxes(cub);
    if (!rc)
        rc = add_images(prepare, cub);
    for (int i = 0; i < 4; i++) {
        free(cub->texts[i]);
        free(cub->places[i]);
    }
    free(cub);
    return rc;
}

static const struct ps_known_file known[] = {
    {"CUB_200_2011.tgz", "97eceeb196236b17998738112f37df78"}, {NULL, NULL}};

const struct ps_dataset ps_dataset_cub200 = {
    .name = "cub200",
    .sources = "CUB_200_2011.tgz or its folder",
    .list = list,
    .published = {[PS_SPLIT_TRAIN] = {5864, 100}, [PS_SPLIT_TEST] = {5924, 100}},
    .known = known,
};
