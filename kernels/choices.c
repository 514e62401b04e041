#include "kernels/choices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct choice {
    char key[PS_CHOICE_TEXT], text[PS_CHOICE_TEXT];
};

struct ps_choices {
    char *path;
    int file; /* open for appending */
    struct choice *all;
    size_t count;
};

static int keep(struct ps_choices *choices, const struct choice *choice)
{
    struct choice *larger = realloc(choices->all, (choices->count + 1) * sizeof *larger);
    if (!larger)
        return -1;
    choices->all = larger;
    larger[choices->count++] = *choice;
    return 0;
}

static int read_file(struct ps_choices *choices, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    char line[2 * PS_CHOICE_TEXT + 2];
    int rc = 0;
    while (!rc && fgets(line, sizeof line, file)) {
        struct choice choice;
        if (strchr(line, '\n') &&
            sscanf(line, "%127[^\t\n]\t%127[^\n]", choice.key, choice.text) == 2)
            rc = keep(choices, &choice);
    }
    fclose(file);
    return rc;
}

struct ps_choices *ps_choices_open(const char *path, char *message, size_t size)
{
    struct ps_choices *choices = calloc(1, sizeof *choices);
    if (!choices) {
        snprintf(message, size, "out of memory");
        return NULL;
    }
    choices->path = strdup(path);
    choices->file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_DSYNC | O_CLOEXEC, 0666);
    if (choices->path && choices->file >= 0 && !read_file(choices, path))
        return choices;
    snprintf(message, size, "%s: %s", path, strerror(errno));
    ps_choices_close(choices);
    return NULL;
}

void ps_choices_close(struct ps_choices *choices)
{
    if (!choices)
        return;
    if (choices->file >= 0)
        close(choices->file);
    free(choices->path);
    free(choices->all);
    free(choices);
}

const char *ps_choices_path(const struct ps_choices *choices)
{
    return choices->path;
}

const char *ps_choices_find(const struct ps_choices *choices, const char *key)
{
    for (size_t i = 0; i < choices->count; i++)
        if (strcmp(choices->all[i].key, key) == 0)
            return choices->all[i].text;
    return NULL;
}

int ps_choices_add(struct ps_choices *choices, const char *key, const char *text, char *message,
                   size_t size)
{
    struct choice choice;
    snprintf(choice.key, sizeof choice.key, "%s", key);
    snprintf(choice.text, sizeof choice.text, "%s", text);
    char line[2 * PS_CHOICE_TEXT + 2];
    int length = snprintf(line, sizeof line, "%s\t%s\n", choice.key, choice.text);
    if (!keep(choices, &choice) && write(choices->file, line, (size_t)length) == length)
        return 0;
    snprintf(message, size, "cannot write the file of chosen algorithms: %s", strerror(errno));
    return -1;
}
