#include "base/opt.h"
#include "base/config.h"
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/number.h"
#include "base/opthelp.h"
#include "base/process.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char canonical(char letter)
{
    return letter == '_' ? '-' : (char)tolower((unsigned char)letter);
}

static bool same_name(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!b[i] || canonical(a[i]) != canonical(b[i]))
            return false;
    return !b[length] || b[length] == ' ' || b[length] == '|';
}

/* Is name[0..length) one of the words of `list`, which are separated by `separator`? Its index. */
static int word_index(const char *list, char separator, const char *name, size_t length)
{
    int index = 0;
    for (; list; index++) {
        if (same_name(name, list, length))
            return index;
        list = strchr(list, separator);
        list = list ? list + 1 : NULL;
    }
    return -1;
}

int ps_choice_index(const char *words, const char *word)
{
    return word_index(words, '|', word, strlen(word));
}

static struct ps_opt *find(const struct ps_command *command, const char *name, size_t length)
{
    for (size_t i = 0; i < command->option_count; i++) {
        struct ps_opt *option = &command->options[i];
        if (option->kind == PS_OPT_SECTION)
            continue;
        if (same_name(name, option->name, length) ||
            (option->aliases && word_index(option->aliases, ' ', name, length) >= 0))
            return option;
    }
    return NULL;
}

struct ps_opt *ps_opt_find(const struct ps_command *command, const char *name)
{
    return find(command, name, strlen(name));
}

static int bad_value(const char *where, const struct ps_opt *option, const char *value,
                     const char *wanted)
{
    return ps_fail(PS_EUSAGE, "%s--%s: '%s' is not %s", where, option->name, value, wanted);
}

static int check_bounds(const char *where, const struct ps_opt *option, const char *text, double x)
{
    if ((option->least == 0 && option->most == 0) || (x >= option->least && x <= option->most))
        return PS_OK;
    if (isinf(option->most))
        return ps_fail(PS_EUSAGE, "%s--%s: %s is out of range (at least %g)", where, option->name,
                       text, option->least);
    return ps_fail(PS_EUSAGE, "%s--%s: %s is out of range (%g to %g)", where, option->name, text,
                   option->least, option->most);
}

bool ps_opt_names_file(const struct ps_opt *option)
{
    return option->argument && word_index("FILE|DIR|FOLDER|RUNDIR|SHARD|MANIFEST", '|',
                                          option->argument, strlen(option->argument)) >= 0;
}

static int set_value(const struct ps_command *command, const char *where, struct ps_opt *option,
                     const char *text)
{
    switch (option->kind) {
    case PS_OPT_SECTION:
        break;
    case PS_OPT_FLAG: {
        int index = ps_choice_index("false|true|no|yes|0|1|off|on", text);
        if (index < 0)
            return bad_value(where, option, text, "true or false");
        *(bool *)option->value = index % 2;
        break;
    }
    case PS_OPT_INT: {
        int64_t value;
        if (!ps_parse_whole(text, INT64_MIN, INT64_MAX, &value))
            return bad_value(where, option, text, "an integer");
        int rc = check_bounds(where, option, text, (double)value);
        if (rc)
            return rc;
        *(long *)option->value = value;
        break;
    }
    case PS_OPT_REAL: {
        double value;
        if (!ps_parse_real(text, &value))
            return bad_value(where, option, text, "a number");
        int rc = check_bounds(where, option, text, value);
        if (rc)
            return rc;
        *(double *)option->value = value;
        break;
    }
    case PS_OPT_TEXT:
        if (!*text && ps_opt_names_file(option))
            return bad_value(where, option, text, "the name of a file or folder");
        *(const char **)option->value = text;
        break;
    case PS_OPT_LIST: {
        struct ps_text *list = option->value;
        int rc = ps_text_printf(list, "%s%s", list->length ? "," : "", text);
        if (rc)
            return rc;
        break;
    }
    case PS_OPT_CHOICE: {
        int index = ps_choice_index(option->argument, text);
        if (index < 0)
            return ps_fail(PS_EUSAGE, "%s--%s: '%s' is not one of %s", where, option->name, text,
                           option->argument);
        *(int *)option->value = index;
        break;
    }
    }
    option->given = command->source;
    return PS_OK;
}

static int keep(struct ps_command *command, char *text)
{
    char **grown = realloc(command->owned, (command->owned_count + 1) * sizeof *grown);
    if (!grown) {
        free(text);
        return ps_fail(PS_ENOMEM, "out of memory");
    }
    command->owned = grown;
    command->owned[command->owned_count++] = text;
    return PS_OK;
}

static int unknown(const struct ps_command *command, const char *where, const char *name,
                   size_t length)
{
    const char *near = ps_opt_nearest(command, name, length);
    if (near)
        return ps_fail(PS_EUSAGE, "%sunknown option --%.*s; did you mean --%s?", where, (int)length,
                       name, near);
    return ps_fail(PS_EUSAGE, "%sunknown option --%.*s (see --help)", where, (int)length, name);
}

int ps_opt_set(struct ps_command *command, const char *where, const char *name, const char *value)
{
    struct ps_opt *option = ps_opt_find(command, name);
    if (!option)
        return unknown(command, where, name, strlen(name));
    char *copy = ps_strdup(value);
    int rc = copy ? keep(command, copy) : PS_ENOMEM;
    return rc ? rc : set_value(command, where, option, copy);
}

struct cursor {
    int argc, at;
    char **argv;
};

static int argument_of(struct cursor *cursor, const char *shown, const char *attached,
                       const char **out)
{
    if (attached) {
        *out = attached;
        return PS_OK;
    }
    if (cursor->at + 1 >= cursor->argc)
        return ps_fail(PS_EUSAGE, "%s needs an argument", shown);
    *out = cursor->argv[++cursor->at];
    return PS_OK;
}

static int parse_long(struct ps_command *command, struct cursor *cursor)
{
    const char *name = cursor->argv[cursor->at] + 2;
    size_t length = strcspn(name, "=");
    const char *attached = name[length] ? name + length + 1 : NULL;
    struct ps_opt *option = find(command, name, length);
    if (!option && length > 3 && !attached && !strncasecmp(name, "no", 2) &&
        canonical(name[2]) == '-') {
        struct ps_opt *negated = find(command, name + 3, length - 3);
        if (negated && negated->kind == PS_OPT_FLAG)
            return set_value(command, "", negated, "false");
    }
    if (!option)
        return unknown(command, "", name, length);
    if (option->kind == PS_OPT_FLAG)
        return set_value(command, "", option, attached ? attached : "true");
    const char *text = NULL;
    int rc = argument_of(cursor, cursor->argv[cursor->at], attached, &text);
    return rc ? rc : set_value(command, "", option, text);
}

static int parse_short(struct ps_command *command, struct cursor *cursor)
{
    for (const char *at = cursor->argv[cursor->at] + 1; *at; at++) {
        struct ps_opt *option = NULL;
        for (size_t i = 0; i < command->option_count && !option; i++)
            if (command->options[i].letter == *at)
                option = &command->options[i];
        if (!option)
            return ps_fail(PS_EUSAGE, "unknown option -%c (see --help)", *at);
        if (option->kind == PS_OPT_FLAG) {
            set_value(command, "", option, "true");
            continue;
        }
        char shown[3] = {'-', *at, '\0'};
        const char *text = NULL;
        int rc = argument_of(cursor, shown, at[1] ? at + 1 : NULL, &text);
        return rc ? rc : set_value(command, "", option, text);
    }
    return PS_OK;
}

static bool has_word(int argc, char **argv, const char *word, const char *other)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], word) || (other && !strcmp(argv[i], other)))
            return true;
    return false;
}

static int parse_all(struct ps_command *command, int argc, char **argv, int *operands)
{
    struct cursor cursor = {.argc = argc, .at = 1, .argv = argv};
    bool only_operands = false, print = false;
    *operands = 0;
    for (; cursor.at < argc; cursor.at++) {
        char *word = argv[cursor.at];
        if (!word)
            break;
        int rc = PS_OK;
        if (!*word)
            rc = ps_fail(PS_EUSAGE, "an argument is empty (see --help)");
        else if (only_operands || word[0] != '-' || !word[1])
            argv[(*operands)++] = word;
        else if (!strcmp(word, "--"))
            only_operands = true;
        else if (!strcmp(word, "--config")) /* read first, by ps_config_read */
            cursor.at++;
        else if (!strncmp(word, "--config=", 9))
            continue;
        else if (!strcmp(word, "--quiet") || !strcmp(word, "-q"))
            ps_log_level(PS_LOG_WARN);
        else if (!strcmp(word, "--verbose"))
            ps_log_level(PS_LOG_DEBUG);
        else if (!strcmp(word, "--print-config"))
            print = true;
        else if (word[1] == '-')
            rc = parse_long(command, &cursor);
        else
            rc = parse_short(command, &cursor);
        if (rc)
            return rc;
    }
    return print ? PS_OPT_DONE : PS_OPT_RUN;
}

static const size_t value_size[] = {
    [PS_OPT_FLAG] = sizeof(bool),   [PS_OPT_INT] = sizeof(long),   [PS_OPT_REAL] = sizeof(double),
    [PS_OPT_TEXT] = sizeof(char *), [PS_OPT_CHOICE] = sizeof(int),
};

static void keep_defaults(struct ps_command *command)
{
    for (size_t i = 0; i < command->option_count; i++) {
        struct ps_opt *option = &command->options[i];
        if (option->yields)
            memcpy(option->initial, option->value, value_size[option->kind]);
    }
}

/* Was what the option yields to given later? */
static int must_yield(const struct ps_command *command, const struct ps_opt *option)
{
    size_t length = strcspn(option->yields, "=");
    const struct ps_opt *other = find(command, option->yields, length);
    if (!option->given || other->given <= option->given)
        return 0;
    if (!option->yields[length])
        return 1;
    struct ps_text value = {0};
    int rc = ps_opt_value(other, &value);
    if (!rc)
        rc = !strcmp(value.data, option->yields + length + 1);
    ps_text_free(&value);
    return rc;
}

static int settle(struct ps_command *command)
{
    for (size_t i = 0; i < command->option_count; i++) {
        struct ps_opt *option = &command->options[i];
        int yields = option->yields ? must_yield(command, option) : 0;
        if (yields < 0)
            return yields;
        if (yields) {
            memcpy(option->value, option->initial, value_size[option->kind]);
            option->given = 0;
        }
    }
    return PS_OK;
}

/* An output that is one of the inputs would replace it. */
static int check_output(struct ps_command *command, char **operand, int count)
{
    struct ps_opt *output = ps_opt_find(command, "output");
    const char *path = output ? *(const char **)output->value : NULL, *same = NULL;
    for (int i = 0; path && i < count; i++)
        same = ps_is_same_file(path, operand[i]) ? operand[i] : same;
    for (size_t i = 0; path && i < command->option_count; i++) {
        const struct ps_opt *option = &command->options[i];
        const char *file = option->kind == PS_OPT_TEXT ? *(const char **)option->value : NULL;
        if (option != output && file && ps_opt_names_file(option) && ps_is_same_file(path, file))
            same = file;
    }
    return same ? ps_fail(PS_EUSAGE, "--output: %s is also read: choose another name", path)
                : PS_OK;
}

int ps_opt_parse(struct ps_command *command, int argc, char **argv, int *operands)
{
    ps_process_begin(command->name);
    if (has_word(argc, argv, "--help", "-h")) {
        ps_opt_print_help(command);
        return PS_OPT_DONE;
    }
    if (has_word(argc, argv, "--version", NULL)) {
        printf("%s %s\n", command->name, PS_VERSION);
        return PS_OPT_DONE;
    }
    if (has_word(argc, argv, "--print-options", NULL)) {
        ps_opt_print_table(command);
        return PS_OPT_DONE;
    }
    keep_defaults(command);
    int rc = ps_config_read(command, argc, argv);
    if (rc)
        return rc;
    command->source++;
    rc = parse_all(command, argc, argv, operands);
    int settled = rc < 0 ? rc : settle(command);
    if (settled)
        return settled;
    if (rc == PS_OPT_RUN)
        return check_output(command, argv, *operands);
    if (rc != PS_OPT_DONE)
        return rc;
    struct ps_text text = {0};
    rc = ps_opt_config(command, &text);
    if (!rc)
        fputs(text.data ? text.data : "", stdout);
    ps_text_free(&text);
    return rc ? rc : PS_OPT_DONE;
}

int ps_opt_finish(struct ps_command *command, int rc)
{
    ps_opt_free(command);
    int closed = ps_stdout_close();
    if (rc >= 0 && closed)
        rc = closed;
    if (rc < 0)
        ps_log_error();
    return ps_exit_status(rc);
}

void ps_opt_free(struct ps_command *command)
{
    for (size_t i = 0; i < command->owned_count; i++)
        free(command->owned[i]);
    free(command->owned);
    command->owned = NULL;
    command->owned_count = 0;
}

int ps_opt_value(const struct ps_opt *option, struct ps_text *out)
{
    switch (option->kind) {
    case PS_OPT_SECTION:
        return PS_OK;
    case PS_OPT_FLAG:
        return ps_text_printf(out, "%s", *(bool *)option->value ? "true" : "false");
    case PS_OPT_INT:
        return ps_text_printf(out, "%ld", *(long *)option->value);
    case PS_OPT_REAL: {
        char text[PS_REAL_TEXT];
        ps_print_real(*(double *)option->value, text);
        return ps_text_printf(out, "%s", text);
    }
    case PS_OPT_TEXT: {
        const char *text = *(const char **)option->value;
        return ps_text_printf(out, "%s", text ? text : "");
    }
    case PS_OPT_LIST: {
        const struct ps_text *list = option->value;
        return ps_text_printf(out, "%s", list->data ? list->data : "");
    }
    case PS_OPT_CHOICE: {
        const char *word = option->argument;
        for (int i = *(int *)option->value; i > 0; i--)
            word = strchr(word, '|') + 1;
        return ps_text_printf(out, "%.*s", (int)strcspn(word, "|"), word);
    }
    }
    return PS_OK;
}

int ps_opt_config(const struct ps_command *command, struct ps_text *out)
{
    int rc = PS_OK;
    for (size_t i = 0; i < command->option_count && !rc; i++) {
        const struct ps_opt *option = &command->options[i];
        if (option->kind == PS_OPT_SECTION ||
            (option->kind == PS_OPT_TEXT && !*(const char **)option->value) ||
            (option->kind == PS_OPT_LIST && !((const struct ps_text *)option->value)->length))
            continue;
        rc = ps_text_printf(out, "%s = ", option->name);
        if (!rc)
            rc = ps_opt_value(option, out);
        if (!rc)
            rc = ps_text_add(out, "\n", 1);
    }
    return rc;
}

int ps_parse_longs(const char *where, const char *text, long least, long **values, size_t *count)
{
    size_t room = 0;
    *values = NULL;
    *count = 0;
    for (const char *at = text;;) {
        int64_t value;
        int rc = PS_OK;
        if (!ps_scan_whole(&at, &value) || value < least || (*at && *at != ','))
            rc = ps_fail(PS_EUSAGE, "%s: '%s' is not a list of integers >= %ld, such as 1,2,4",
                         where, text, least);
        else
            rc = ps_grow(values, &room, *count + 1, sizeof **values);
        if (rc) {
            free(*values);
            *values = NULL;
            return rc;
        }
        (*values)[(*count)++] = value;
        if (!*at++)
            return PS_OK;
    }
}
