/* DeepFashion In-Shop Clothes: list_eval_partition.txt, with query and gallery. */
#include "base/err.h"
#include "data/dataset.h"
#include "data/lines.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int list_rows(struct ps_prepare *prepare, struct ps_lines *lines)
{
    char *fields[3];
    long announced = 0, rows = 0;
    size_t got = ps_lines_next(lines, 0, fields, 1);
    int rc = got ? ps_lines_number(lines, "the count of images", fields[0], 1, INT_MAX, &announced)
                 : ps_lines_fail(lines, "expected a count");
    if (rc)
        return rc;
    got = ps_lines_next(lines, 0, fields, 3);
    if (got != 3 || strcmp(fields[0], "image_name") != 0 ||
        strcmp(fields[2], "evaluation_status") != 0)
        return ps_lines_fail(lines, "expected the header: image_name item_id evaluation_status");
    while (!rc && (got = ps_lines_next(lines, 0, fields, 3)) > 0) {
        int split = got == 3 ? ps_split_of(fields[2]) : -1;
        if (split < 0 || split == PS_SPLIT_TEST)
            return ps_lines_fail(lines, "expected: IMAGE ITEM train|query|gallery");
        rc = ps_prepare_add(prepare, fields[0], fields[1], (enum ps_split)split, NULL);
        rows++;
    }
    if (!rc && rows != announced)
        rc = ps_fail(PS_EFORMAT, "%s: %ld images, but the first line says %ld", lines->where, rows,
                     announced);
    return rc;
}

static int list(struct ps_prepare *prepare)
{
    char *text, *where;
    size_t length;
    int rc = ps_prepare_need(prepare, "list_eval_partition.txt", &text, &length, &where);
    if (rc)
        return rc;
    struct ps_lines lines = {.next = text, .where = where};
    rc = list_rows(prepare, &lines);
    free(text);
    free(where);
    return rc;
}

const struct ps_dataset ps_dataset_inshop = {
    .name = "inshop",
    .sources = "folder with Eval/list_eval_partition.txt and img/, or img.zip and that file",
    .list = list,
    .published = {[PS_SPLIT_TRAIN] = {25882, 3997},
                  [PS_SPLIT_QUERY] = {14218, 3985},
                  [PS_SPLIT_GALLERY] = {12612, 3985}},
};
