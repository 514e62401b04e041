#include "base/config.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/opthelp.h"
#include "base/path.h"
#include "base/tsv.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX ".conf"

enum { MOST_NESTED = 8, MOST_BYTES = 1 << 20 };

static int read_file(struct ps_command *command, const char *path);

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* The library's folder, or the file of a name in it, beside the program's folder. free() it. */
static char *library_path(const char *library, const char *name)
{
    char *program = ps_path_program(), *folder = program ? ps_path_folder(program) : NULL;
    char *path = folder ? ps_asprintf("%s/../share/proxy-synthesis/%s%s%s%s", folder, library,
                                      name ? "/" : "", name ? name : "", name ? SUFFIX : "")
                        : NULL;
    free(folder);
    free(program);
    return path;
}

static int is_config(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && ps_has_suffix(entry->d_name, SUFFIX);
}

static int order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* The names in the library, each without suffix; *count is negative if it cannot be read. */
static struct dirent **list_library(const char *library, int *count)
{
    struct dirent **entries = NULL;
    char *folder = library_path(library, NULL);
    *count = folder ? scandir(folder, &entries, is_config, order) : -1;
    free(folder);
    for (int i = 0; i < *count; i++)
        entries[i]->d_name[strlen(entries[i]->d_name) - strlen(SUFFIX)] = '\0';
    return entries;
}

static void free_list(struct dirent **entries, int count)
{
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

static int fail_unknown(const char *where, const struct ps_opt *option, const char *name)
{
    int count;
    struct ps_text names = {0};
    struct dirent **entries = list_library(option->library, &count);
    for (int i = 0; i < count; i++)
        ps_text_printf(&names, "%s%s", i ? ", " : "", entries[i]->d_name);
    free_list(entries, count);
    int rc = names.data ? ps_fail(PS_EUSAGE, "%s--%s: '%s' is not one of %s", where, option->name,
                                  name, names.data)
                        : ps_fail(PS_EIO,
                                  "%s--%s: no folder ../share/proxy-synthesis/%s beside "
                                  "the program's: install it with make install",
                                  where, option->name, option->library);
    ps_text_free(&names);
    return rc;
}

/* Reads the file that an option names. */
static int read_library(struct ps_command *command, const char *where, const struct ps_opt *option,
                        const char *name)
{
    if (!*name || strchr(name, '/'))
        return fail_unknown(where, option, name);
    char *path = library_path(option->library, name);
    int rc = !path              ? PS_ENOMEM
             : ps_is_file(path) ? read_file(command, path)
                                : fail_unknown(where, option, name);
    free(path);
    return rc;
}

/* "quiet" and "verbose", which are in no program's table: 1 if `name` is one of them. */
static int set_log_level(const char *where, const char *name, const char *value)
{
    bool quiet = false, verbose = false;
    struct ps_opt flags[] = {PS_FLAG("quiet", &quiet, ""), PS_FLAG("verbose", &verbose, "")};
    struct ps_command levels = {.options = flags, .option_count = 2};
    if (!ps_opt_find(&levels, name))
        return 0;
    int rc = ps_opt_set(&levels, where, name, value);
    if (quiet || verbose)
        ps_log_level(quiet ? PS_LOG_WARN : PS_LOG_DEBUG);
    ps_opt_free(&levels);
    return rc ? rc : 1;
}

static int set_line(struct ps_command *command, const char *where, const char *name,
                    const char *value)
{
    int rc = set_log_level(where, name, value);
    if (rc)
        return rc < 0 ? rc : PS_OK;
    const struct ps_opt *option = ps_opt_find(command, name);
    if (option && option->library)
        rc = read_library(command, where, option, value);
    return rc ? rc : ps_opt_set(command, where, name, value);
}

static int read_lines(struct ps_command *command, const char *path)
{
    void *bytes;
    size_t length;
    int rc = ps_file_read(path, MOST_BYTES, &bytes, &length);
    if (rc)
        return rc;
    unsigned number = 0;
    char *rest, *line;
    rc = ps_text_begin(path, bytes, length, &rest);
    while (!rc && (line = strsep(&rest, "\n"))) {
        number++;
        line = trim(line);
        if (!*line || *line == '#')
            continue;
        char where[512];
        snprintf(where, sizeof where, "%s:%u: ", path, number);
        char *equals = strchr(line, '=');
        if (!equals) {
            rc = ps_fail(PS_EUSAGE, "%sexpected 'name = value'", where);
            break;
        }
        *equals = '\0';
        rc = set_line(command, where, trim(line), trim(equals + 1));
    }
    free(bytes);
    return rc;
}

static int read_file(struct ps_command *command, const char *path)
{
    if (command->nested == MOST_NESTED)
        return ps_fail(PS_EUSAGE, "%s: read by itself", path);
    command->nested++;
    command->source++;
    int rc = read_lines(command, path);
    command->source++; /* the rest of the file that named this one wins over it */
    command->nested--;
    return rc;
}

int ps_config_read(struct ps_command *command, int argc, char **argv)
{
    int rc = PS_OK;
    for (int i = 1; i < argc && argv[i] && strcmp(argv[i], "--") != 0 && !rc; i++) {
        const char *word = argv[i], *equals = strchr(word, '=');
        if (strncmp(word, "--", 2) != 0)
            continue;
        char name[64] = {0};
        size_t length = equals ? (size_t)(equals - word) - 2 : strlen(word + 2);
        memcpy(name, word + 2, length < sizeof name ? length : sizeof name - 1);
        const struct ps_opt *option = ps_opt_find(command, name);
        bool config = !strcmp(name, "config"), library = option && option->library;
        const char *value = equals ? equals + 1 : i + 1 < argc ? argv[i + 1] : NULL;
        if (!value || (!config && !library))
            continue;
        if (!equals)
            i++;
        if (library)
            rc = read_library(command, "", option, value);
        else if (*value)
            rc = read_file(command, value);
        else
            rc = ps_fail(PS_EUSAGE, "--config: '' is not the name of a file");
    }
    return rc;
}

/* The comment that the text begins with, in one line. */
static void print_comment(char *text)
{
    struct ps_text comment = {0};
    char *line;
    while ((line = strsep(&text, "\n")) && *line == '#')
        ps_text_printf(&comment, "%s%s", comment.length ? " " : "", trim(line + 1));
    if (comment.data)
        ps_print_wrapped(comment.data, 4, 4);
    ps_text_free(&comment);
}

int ps_config_print_library(const char *library)
{
    int count, rc = PS_OK;
    struct dirent **entries = list_library(library, &count);
    for (int i = 0; i < count && !rc; i++) {
        char *path = library_path(library, entries[i]->d_name), *rest;
        void *bytes = NULL;
        size_t length;
        rc = path ? ps_file_read(path, MOST_BYTES, &bytes, &length) : PS_ENOMEM;
        if (!rc)
            rc = ps_text_begin(path, bytes, length, &rest);
        if (!rc) {
            printf("%s\n    ", entries[i]->d_name);
            print_comment(rest);
        }
        free(bytes);
        free(path);
    }
    free_list(entries, count);
    return rc;
}
