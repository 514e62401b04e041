/*
 * CARS196 (Stanford Cars): car_ims/ with cars_annos.mat, with a text list, or with nothing, where
 * the classes are known from the order of the images; or cars_train/ and cars_test/ with the .mat
 * files of the devkit. Split by class; the "test" flag is that of another task.
 */
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/dataset.h"
#include "data/lines.h"
#include "data/matfile.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 196, TRAIN_CLASSES = 98 };

/*
 * car_ims/000001.jpg ... are in the order of their classes: so many images of class 1, then of 2,
 * ...; but the second lot of class 119 comes after 122.
 */
enum { RUNS = CLASSES + 1, LATE_RUN = 122, LATE_CLASS = 119 };
static const uint8_t runs[RUNS] = {
    89, 64, 86, 84, 81, 89, 78, 90, 82, 66, 76, 73, 82, 85, 86, 87, 81, 85, 81, 92, 84, 85,
    79, 90, 79, 68, 71, 82, 85, 83, 88, 83, 84, 89, 82, 82, 77, 81, 73, 78, 71, 69, 92, 89,
    65, 87, 70, 85, 75, 84, 86, 82, 89, 80, 79, 93, 75, 88, 89, 73, 86, 74, 88, 59, 90, 83,
    77, 80, 76, 85, 70, 90, 89, 87, 88, 87, 81, 75, 97, 86, 90, 90, 81, 84, 87, 85, 88, 79,
    88, 82, 77, 80, 78, 87, 91, 82, 84, 92, 55, 67, 84, 78, 79, 85, 87, 83, 89, 88, 89, 86,
    84, 91, 85, 90, 90, 75, 85, 83, 66, 85, 89, 80, 70, 89, 78, 87, 84, 82, 78, 77, 82, 84,
    87, 84, 67, 84, 48, 87, 79, 85, 84, 68, 65, 80, 93, 88, 86, 89, 90, 85, 72, 87, 71, 89,
    85, 85, 78, 73, 58, 72, 88, 96, 91, 73, 87, 89, 82, 95, 84, 77, 88, 92, 88, 87, 82, 61,
    77, 88, 83, 90, 85, 76, 92, 84, 81, 77, 77, 87, 87, 81, 86, 92, 85, 83, 91, 86, 80};

struct cars {
    struct ps_prepare *prepare;
    char *names[CLASSES + 1]; /* by class number; NULL where not known */
};

/* Adds an image; classes sort in the order of their numbers. */
static int add(struct cars *cars, const char *key, long number, const int32_t *box)
{
    char *class_name = cars->names[number] ? ps_asprintf("%03ld.%s", number, cars->names[number])
                                           : ps_asprintf("%03ld", number);
    if (!class_name)
        return PS_ENOMEM;
    int rc = ps_prepare_add(cars->prepare, key, class_name,
                            number <= TRAIN_CLASSES ? PS_SPLIT_TRAIN : PS_SPLIT_TEST, box);
    free(class_name);
    return rc;
}

/* A .mat among the sources. */
struct mat {
    char *bytes, *name; /* NULL if there is none */
    size_t length;
};

static int find_mat(const struct cars *cars, const char *key, struct mat *mat)
{
    return ps_prepare_text(cars->prepare, key, &mat->bytes, &mat->length, &mat->name);
}

static void free_mat(struct mat *mat)
{
    free(mat->bytes);
    free(mat->name);
    *mat = (struct mat){0};
}

static int read_names(struct cars *cars, const struct mat *mat)
{
    static const char *const no_fields[] = {NULL};
    char *rows, *fields[2];
    int rc = ps_mat_rows(mat->name, mat->bytes, mat->length, "class_names", no_fields, &rows);
    if (rc)
        return rc;
    struct ps_lines lines = {.next = rows, .where = mat->name};
    size_t got;
    while (!rc && (got = ps_lines_next(&lines, '\t', fields, 2)) > 0) {
        long number;
        if (got < 2) /* an empty name */
            continue;
        rc = ps_lines_number(&lines, "class", fields[0], 1, CLASSES, &number);
        if (!rc && !(cars->names[number] = ps_strdup(fields[1])))
            rc = PS_ENOMEM;
    }
    free(rows);
    return rc;
}

/* Number, name, class, box: an image of `annotations`, whose name is relative to `folder`. */
static int read_row(struct cars *cars, const struct ps_lines *lines, char *const fields[7],
                    const char *folder)
{
    long number, side = 0;
    int32_t box[4];
    int rc = ps_lines_number(lines, "class", fields[2], 1, CLASSES, &number);
    for (int i = 0; i < 4 && !rc; i++) {
        rc = ps_lines_number(lines, "box", fields[3 + i], 0, INT32_MAX, &side);
        box[i] = (int32_t)side - (i < 2); /* first pixel is 1, last one included */
    }
    if (rc)
        return rc;
    char *key = ps_path_join(folder, fields[1]);
    rc = key ? add(cars, key, number, box) : PS_ENOMEM;
    free(key);
    return rc;
}

static int read_rows(struct cars *cars, const struct mat *mat, const char *name_field,
                     const char *folder)
{
    const char *const names[] = {name_field, "class",   "bbox_x1", "bbox_y1",
                                 "bbox_x2",  "bbox_y2", NULL};
    char *rows, *fields[7];
    int rc = ps_mat_rows(mat->name, mat->bytes, mat->length, "annotations", names, &rows);
    if (rc)
        return rc;
    struct ps_lines lines = {.next = rows, .where = mat->name};
    size_t got;
    while (!rc && (got = ps_lines_next(&lines, '\t', fields, 7)) > 0)
        rc = got < 7 ? ps_lines_fail(&lines, "expected a name, a class and a box")
                     : read_row(cars, &lines, fields, folder);
    free(rows);
    return rc;
}

static int list_devkit(struct cars *cars)
{
    static const struct {
        const char *annotations, *folder;
    } parts[] = {{"cars_train_annos.mat", "cars_train"},
                 {"cars_test_annos_withlabels.mat", "cars_test"}};
    struct mat mat;
    int rc = find_mat(cars, "cars_meta.mat", &mat);
    if (!rc && mat.bytes)
        rc = read_names(cars, &mat);
    free_mat(&mat);
    bool found = false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !rc; i++) {
        rc = find_mat(cars, parts[i].annotations, &mat);
        if (!rc && mat.bytes)
            rc = read_rows(cars, &mat, "fname", parts[i].folder);
        found |= mat.bytes != NULL;
        free_mat(&mat);
    }
    if (!rc && !found)
        rc = ps_fail(PS_EIO,
                     "%s: neither car_ims/000001.jpg ... nor a cars_train_annos.mat or "
                     "cars_test_annos_withlabels.mat (give the devkit too)",
                     cars->prepare->sources[0].path);
    return rc;
}

static int list_full(struct cars *cars, const struct mat *mat)
{
    int rc = read_names(cars, mat);
    return rc ? rc : read_rows(cars, mat, "relative_im_path", ".");
}

static int list_text(struct cars *cars, char *text, const char *where)
{
    struct ps_lines lines = {.next = text, .where = where};
    char *fields[3];
    size_t got;
    int rc = PS_OK;
    while (!rc && (got = ps_lines_next(&lines, ',', fields, 3)) > 0) {
        long number;
        rc = got < 3 ? ps_lines_fail(&lines, "expected: PATH,CLASS,TEST")
                     : ps_lines_number(&lines, "class", fields[1], 1, CLASSES, &number);
        if (!rc)
            rc = add(cars, fields[0], number, NULL);
    }
    return rc;
}

static int list_runs(struct cars *cars)
{
    ps_info("no annotation file: inferring classes from the order of car_ims/");
    int rc = PS_OK;
    int image = 0;
    for (int run = 0; run < RUNS; run++) {
        long number = run < LATE_RUN ? run + 1 : run == LATE_RUN ? LATE_CLASS : run;
        for (int i = 0; i < runs[run] && !rc; i++) {
            char key[32];
            snprintf(key, sizeof key, "car_ims/%06d.jpg", ++image);
            rc = add(cars, key, number, NULL);
        }
    }
    return rc;
}

/* True if a source holds car_ims/NNNNNN.jpg. */
static bool has_car_ims(const struct ps_prepare *prepare)
{
    for (size_t s = 0; s < prepare->source_count; s++) {
        for (size_t i = 0; i < prepare->sources[s].count; i++) {
            const char *base = ps_path_base(prepare->sources[s].files[i].name);
            if (strspn(base, "0123456789") == 6 && !strcmp(base + 6, ".jpg"))
                return true;
        }
    }
    return false;
}

/* The reference's list: a text file among the sources, or cars_annos.txt in one; or *text NULL. */
static int find_list(const struct ps_prepare *prepare, char **text, char **where)
{
    const char *key = "cars_annos.txt";
    for (size_t s = 0; s < prepare->source_count; s++) {
        const char *path = prepare->sources[s].path;
        if (ps_is_file(path) && (ps_has_suffix(path, ".txt") || ps_has_suffix(path, ".csv")))
            key = ps_path_base(path);
    }
    size_t length;
    return ps_prepare_text(prepare, key, text, &length, where);
}

static int list_car_ims(struct cars *cars)
{
    struct mat mat;
    int rc = find_mat(cars, "cars_annos.mat", &mat);
    if (rc || mat.bytes) {
        rc = rc ? rc : list_full(cars, &mat);
        free_mat(&mat);
        return rc;
    }
    char *text, *where;
    rc = find_list(cars->prepare, &text, &where);
    if (rc)
        return rc;
    rc = text ? list_text(cars, text, where) : list_runs(cars);
    free(text);
    free(where);
    return rc;
}

static int list(struct ps_prepare *prepare)
{
    struct cars cars = {.prepare = prepare};
    int rc = has_car_ims(prepare) ? list_car_ims(&cars) : list_devkit(&cars);
    for (size_t i = 0; i <= CLASSES; i++)
        free(cars.names[i]);
    return rc;
}

static const struct ps_known_file known[] = {
    {"car_ims.tgz", "d5c8f0aa497503f355e17dc7886c3f14"},
    {"cars_annos.mat", "b407c6086d669747186bd1d764ff9dbc"},
    {"cars_train.tgz", "065e5b463ae28d29e77c1b4b166cfe61"},
    {"cars_test.tgz", "4ce7ebf6a94d07f1952d94dd34c4d501"},
    {"car_devkit.tgz", "c3b158d763b6e2245038c8ad08e45376"},
    {"cars_test_annos_withlabels.mat", "b0a2b23655a3edd16d84508592a98d10"},
    {NULL, NULL}};

const struct ps_dataset ps_dataset_cars196 = {
    .name = "cars196",
    .sources = "car_ims.tgz (or its folder) and perhaps annotations; or cars_train and a devkit",
    .list = list,
    .published = {[PS_SPLIT_TRAIN] = {8054, 98}, [PS_SPLIT_TEST] = {8131, 98}},
    .known = known,
};
