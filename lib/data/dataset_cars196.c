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

static int read_names(struct cars *cars, ps_mat *mat)
{
    size_t count;
    int rc = ps_mat_read(mat, "class_names", &count);
    for (size_t i = 0; i < count && i < CLASSES && !rc; i++) {
        free(cars->names[i + 1]);
        cars->names[i + 1] = NULL;
        rc = ps_mat_text(mat, i, NULL, &cars->names[i + 1]);
    }
    return rc;
}

/* Rows of `annotations`: the image's name is in `field`, below `folder`. */
static int read_rows(struct cars *cars, ps_mat *mat, const char *field, const char *folder)
{
    static const char *const sides[4] = {"bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"};
    size_t count;
    int rc = ps_mat_read(mat, "annotations", &count);
    for (size_t i = 0; i < count && !rc; i++) {
        long number, side;
        int32_t box[4];
        for (int k = 0; k < 4 && !rc; k++) {
            rc = ps_mat_number(mat, i, sides[k], 0, INT32_MAX, &side);
            box[k] = (int32_t)side - (k < 2); /* first pixel is 1, last one included */
        }
        char *name = NULL;
        if (!rc)
            rc = ps_mat_number(mat, i, "class", 1, CLASSES, &number);
        if (!rc)
            rc = ps_mat_text(mat, i, field, &name);
        if (rc)
            return rc;
        char *key = ps_path_join(folder, name);
        rc = key ? add(cars, key, number, box) : PS_ENOMEM;
        free(key);
        free(name);
    }
    return rc;
}

/* Opens a .mat among the sources; *mat is NULL if there is none. */
static int open_mat(const struct cars *cars, const char *key, ps_mat **mat)
{
    char *bytes, *where;
    size_t length;
    *mat = NULL;
    int rc = ps_prepare_text(cars->prepare, key, &bytes, &length, &where);
    if (rc || !bytes)
        return rc;
    *mat = ps_mat_open(where, bytes, length);
    free(bytes);
    free(where);
    return *mat ? PS_OK : ps_error_code();
}

static int list_devkit(struct cars *cars)
{
    static const struct {
        const char *annotations, *folder;
    } parts[] = {{"cars_train_annos.mat", "cars_train"},
                 {"cars_test_annos_withlabels.mat", "cars_test"}};
    ps_mat *mat;
    int rc = open_mat(cars, "cars_meta.mat", &mat);
    if (!rc && mat)
        rc = read_names(cars, mat);
    ps_mat_close(mat);
    bool found = false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !rc; i++) {
        rc = open_mat(cars, parts[i].annotations, &mat);
        if (!rc && mat) {
            found = true;
            rc = read_rows(cars, mat, "fname", parts[i].folder);
            ps_mat_close(mat);
        }
    }
    if (!rc && !found)
        rc = ps_fail(PS_EIO,
                     "%s: neither car_ims/000001.jpg ... nor a cars_train_annos.mat or "
                     "cars_test_annos_withlabels.mat (give the devkit too)",
                     cars->prepare->sources[0].path);
    return rc;
}

static int list_full(struct cars *cars, ps_mat *mat)
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
    ps_info("no annotation file: classes follow from the order of car_ims/");
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

/* The source that is one text file, or NULL. */
static const struct ps_source *text_source(const struct ps_prepare *prepare)
{
    for (size_t s = 0; s < prepare->source_count; s++) {
        const struct ps_source *source = &prepare->sources[s];
        if (ps_is_file(source->path) &&
            (ps_has_suffix(source->path, ".txt") || ps_has_suffix(source->path, ".csv")))
            return source;
    }
    return NULL;
}

static int list_car_ims(struct cars *cars)
{
    ps_mat *mat;
    int rc = open_mat(cars, "cars_annos.mat", &mat);
    if (rc || mat) {
        rc = rc ? rc : list_full(cars, mat);
        ps_mat_close(mat);
        return rc;
    }
    const struct ps_source *source = text_source(cars->prepare);
    if (!source)
        return list_runs(cars);
    char *text;
    size_t length;
    rc = ps_source_text(source, 0, &text, &length);
    if (rc)
        return rc;
    rc = list_text(cars, text, source->path);
    free(text);
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
