/*
 * Tars of the WebDataset format, or folders with the same files: those of one key, the part of the
 * path before the first dot of the base name, are one sample: a picture, and its class in a .cls, a
 * .json or a .txt.
 */
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"
#include "data/dataset.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CLS, JSON, TXT, CLASS_FILES, MOST_CLASS = 999999 };
static const char *const class_endings[CLASS_FILES] = {".cls", ".json", ".txt"};

/* The files of one key; -1: there is none. */
struct sample {
    ptrdiff_t picture, class_file[CLASS_FILES];
};

/* Samples that lack something. */
struct lack {
    size_t count;
    const char *first;
};

struct listing {
    struct ps_prepare *prepare;
    size_t source;
    enum ps_split split;
    struct lack pictures, classes;
};

/* Length of the key at the beginning of a member's name. */
static size_t key_length(const char *name)
{
    const char *base = ps_path_base(name);
    return (size_t)(base - name) + strcspn(base, ".");
}

static int fail_number(const char *where)
{
    return ps_fail(PS_EFORMAT, "%s: not a class number from 0 to %d", where, MOST_CLASS);
}

/* Numbers of classes become names that sort in their order. */
static int name_number(const char *where, int64_t number, char **name)
{
    if (number < 0 || number > MOST_CLASS)
        return fail_number(where);
    *name = ps_asprintf("%06lld", (long long)number);
    return *name ? PS_OK : PS_ENOMEM;
}

static int class_from_json(const char *where, const char *text, size_t length, char **name)
{
    json_t *root = ps_json_load(text, length, 0, where);
    if (!root)
        return ps_error_code();
    const json_t *value = json_object_get(root, "class");
    if (!value)
        value = json_object_get(root, "label");
    int rc;
    if (json_is_integer(value))
        rc = name_number(where, json_integer_value(value), name);
    else if (json_is_string(value))
        rc = (*name = ps_strdup(json_string_value(value))) ? PS_OK : PS_ENOMEM;
    else
        rc = ps_fail(PS_EFORMAT, "%s: no \"class\" or \"label\" that is a string or an integer",
                     where);
    json_decref(root);
    return rc;
}

/* `text` is trimmed in place. */
static int class_from_text(const char *where, char *text, bool number, char **name)
{
    text += strspn(text, " \t\r\n");
    for (size_t end = strlen(text); end && isspace((unsigned char)text[end - 1]);)
        text[--end] = '\0';
    int64_t value;
    if (number)
        return ps_parse_whole(text, 0, MOST_CLASS, &value) ? name_number(where, value, name)
                                                           : fail_number(where);
    *name = ps_strdup(text);
    return *name ? PS_OK : PS_ENOMEM;
}

static int read_class(const struct ps_source *source, const struct sample *sample, char **name)
{
    int kind = 0;
    while (sample->class_file[kind] < 0)
        kind++;
    size_t file = (size_t)sample->class_file[kind], length;
    char *text = NULL, *where = ps_path_join(source->path, source->files[file].name);
    int rc = where ? ps_source_text(source, file, &text, &length) : PS_ENOMEM;
    if (!rc && kind == JSON)
        rc = class_from_json(where, text, length, name);
    else if (!rc && strlen(text) != length)
        rc = ps_fail(PS_EFORMAT, "%s: holds NUL bytes", where);
    else if (!rc)
        rc = class_from_text(where, text, kind == CLS, name);
    free(text);
    free(where);
    return rc;
}

static void add_lack(struct lack *lack, const char *name)
{
    if (!lack->count++)
        lack->first = name;
}

static int add_sample(struct listing *listing, size_t first, const struct sample *sample)
{
    const struct ps_source *source = &listing->prepare->sources[listing->source];
    if (sample->picture < 0) {
        add_lack(&listing->pictures, source->files[first].name);
        return PS_OK;
    }
    bool classed = false;
    for (int kind = 0; kind < CLASS_FILES; kind++)
        classed |= sample->class_file[kind] >= 0;
    if (!classed) {
        add_lack(&listing->classes, source->files[sample->picture].name);
        return PS_OK;
    }
    char *name = NULL;
    int rc = read_class(source, sample, &name);
    if (!rc)
        rc = ps_prepare_pick(listing->prepare, listing->source, (size_t)sample->picture, name,
                             listing->split);
    free(name);
    return rc;
}

/* Notes what file `i` is to its sample, whose key is `key` bytes long. */
static int add_file(struct ps_source *source, size_t i, size_t key, struct sample *sample)
{
    const char *name = source->files[i].name;
    for (int kind = 0; kind < CLASS_FILES; kind++)
        if (!strcasecmp(name + key, class_endings[kind])) {
            sample->class_file[kind] = (ptrdiff_t)i;
            return PS_OK;
        }
    int is = ps_source_is_image(source, i);
    if (is <= 0)
        return is;
    if (sample->picture >= 0)
        return ps_fail(PS_EFORMAT, "%s: two pictures of one key: %s and %s", source->path,
                       source->files[sample->picture].name, name);
    sample->picture = (ptrdiff_t)i;
    return PS_OK;
}

/* Files of one key lie side by side, as all begin with it and a dot. */
static int list_source(struct listing *listing)
{
    struct ps_source *source = &listing->prepare->sources[listing->source];
    int rc = PS_OK;
    for (size_t i = 0, first; i < source->count && !rc;) {
        const char *name = source->files[first = i].name;
        size_t key = key_length(name);
        struct sample sample = {.picture = -1, .class_file = {-1, -1, -1}};
        if (!name[key]) {
            add_lack(&listing->pictures, name);
            i++;
            continue;
        }
        for (; i < source->count && !strncmp(source->files[i].name, name, key + 1) && !rc; i++)
            rc = add_file(source, i, key, &sample);
        if (!rc)
            rc = ps_interrupted() ? ps_fail_interrupted() : add_sample(listing, first, &sample);
    }
    return rc;
}

/* The split that a word in the name of a tar says: train-0001.tar; or -1. */
static int split_of(const char *path)
{
    bool validation;
    int split = -1;
    for (const char *at = ps_path_base(path); *at && split < 0; at += *at != '\0') {
        size_t length = 0;
        while (isalpha((unsigned char)at[length]))
            length++;
        char word[16];
        if (length && length < sizeof word) {
            snprintf(word, sizeof word, "%.*s", (int)length, at);
            split = ps_folder_split(word, &validation);
        }
        at += length;
    }
    return split;
}

static int choose_split(const struct ps_prepare *prepare, const char *path, enum ps_split *split)
{
    if (prepare->options->test_classes > 0)
        return PS_OK;
    int named = split_of(path);
    if (named < 0)
        return ps_fail(PS_EUSAGE,
                       "%s: its name says neither train nor test: give --test-classes 0.5 to split "
                       "by class",
                       path);
    *split = (enum ps_split)named;
    return PS_OK;
}

static int settle(const struct ps_prepare *prepare, const struct lack *lack, const char *what)
{
    if (lack->count && !prepare->options->allow_missing)
        return ps_fail(PS_EFORMAT,
                       "%s: %zu, the first is %s (--allow-missing goes on without them)", what,
                       lack->count, lack->first);
    if (lack->count)
        ps_warn("%s: %zu, the first is %s", what, lack->count, lack->first);
    return PS_OK;
}

static int list(struct ps_prepare *prepare)
{
    struct listing listing = {.prepare = prepare};
    int rc = PS_OK;
    for (size_t s = 0; s < prepare->source_count && !rc; s++) {
        listing.source = s;
        rc = choose_split(prepare, prepare->sources[s].path, &listing.split);
        if (!rc)
            rc = list_source(&listing);
    }
    if (!rc)
        rc = settle(prepare, &listing.pictures, "keys without a picture");
    if (!rc)
        rc = settle(prepare, &listing.classes, "pictures without a .cls, .json or .txt");
    return rc;
}

const struct ps_dataset ps_dataset_webdataset = {
    .name = "webdataset",
    .sources = "TAR...: pictures, each with a .cls, .json or .txt of the same key",
    .list = list,
    .by_class = true,
};
