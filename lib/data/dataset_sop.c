/* Stanford Online Products: Ebay_train.txt and Ebay_test.txt. */
#include "base/err.h"
#include "data/dataset.h"
#include "data/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int list_split(struct ps_prepare *prepare, const char *name, enum ps_split split)
{
    char *text, *where, *fields[4];
    size_t length, got;
    int rc = ps_prepare_need(prepare, name, &text, &length, &where);
    if (rc)
        return rc;
    struct ps_lines lines = {.next = text, .where = where};
    got = ps_lines_next(&lines, 0, fields, 4);
    if (got != 4 || strcmp(fields[1], "class_id") != 0 || strcmp(fields[3], "path") != 0)
        rc = ps_lines_fail(&lines, "expected the header: image_id class_id super_class_id path");
    while (!rc && (got = ps_lines_next(&lines, 0, fields, 4)) > 0) {
        long number;
        rc = got < 4 ? ps_lines_fail(&lines, "expected: IMAGE CLASS SUPERCLASS PATH")
                     : ps_lines_number(&lines, "class", fields[1], 1, 99999, &number);
        char class_name[16];
        if (!rc) {
            snprintf(class_name, sizeof class_name, "%05ld", number);
            rc = ps_prepare_add(prepare, fields[3], class_name, split, NULL);
        }
    }
    free(text);
    free(where);
    return rc;
}

static int list(struct ps_prepare *prepare)
{
    int rc = list_split(prepare, "Ebay_train.txt", PS_SPLIT_TRAIN);
    return rc ? rc : list_split(prepare, "Ebay_test.txt", PS_SPLIT_TEST);
}

static const struct ps_known_file known[] = {
    {"Stanford_Online_Products.zip", "7f73d41a2f44250d4779881525aea32e"}, {NULL, NULL}};

const struct ps_dataset ps_dataset_sop = {
    .name = "sop",
    .sources = "Stanford_Online_Products.zip or its folder",
    .list = list,
    .published = {[PS_SPLIT_TRAIN] = {59551, 11318}, [PS_SPLIT_TEST] = {60502, 11316}},
    .known = known,
};
