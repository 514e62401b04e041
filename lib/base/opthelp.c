#include "base/opthelp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the parser itself handles. */
static bool unset;
static const char *no_file;
static const struct ps_opt common[] = {
    PS_TEXT("config", &no_file, "FILE", "read 'name = value' lines; the command line wins"),
    PS_FLAG("print-config", &unset, "print all settings as such a file, and stop"),
    PS_FLAG("quiet", &unset, "no progress, warnings only", .letter = 'q'),
    PS_FLAG("verbose", &unset, "more detail"),
    PS_FLAG("help", &unset, "this text", .letter = 'h'),
    PS_FLAG("version", &unset, "the version"),
};
enum { COMMON_COUNT = sizeof common / sizeof *common };

enum { INDENT = 30, WIDTH = 80, LONGEST_NAME = 40 };

/* Length of the next piece of text that is not broken: a word, or a word of a choice with its "|".
 */
static size_t next_piece(const char *text)
{
    size_t length = strcspn(text, " |\n");
    return length + (text[length] == '|');
}

void ps_print_wrapped(const char *text, int column, int indent)
{
    while (*text && *text != '\n') {
        int length = (int)next_piece(text);
        if (column + length > WIDTH && column > indent) {
            printf("\n%*s", indent, "");
            column = indent;
        }
        printf("%.*s", length, text);
        column += length;
        text += length;
        size_t blanks = strspn(text, " ");
        if (blanks && column + (int)blanks + (int)next_piece(text + blanks) <= WIDTH)
            column += printf("%*s", (int)blanks, "");
        else if (blanks)
            column = WIDTH;
        text += blanks;
    }
    putchar('\n');
}

/* Lines as "  NAME   text" hang at the text. */
static void print_summary(const char *text)
{
    while (*text) {
        int indent = 0;
        if (*text == ' ') {
            size_t name = strspn(text, " ");
            name += strcspn(text + name, " \n");
            indent = (int)(name + strspn(text + name, " "));
        }
        ps_print_wrapped(text, 0, indent);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
}

/* What stands for the value in "--name VALUE"; NULL for a flag. */
static const char *argument_of(const struct ps_opt *option)
{
    switch (option->kind) {
    case PS_OPT_FLAG:
        return NULL;
    case PS_OPT_CHOICE:
        return "WORD";
    case PS_OPT_INT:
        return option->argument ? option->argument : "N";
    case PS_OPT_REAL:
        return option->argument ? option->argument : "X";
    default:
        return option->argument;
    }
}

static void print_option(const struct ps_opt *option)
{
    char left[160];
    int length = option->letter
                     ? snprintf(left, sizeof left, "  -%c, --%s", option->letter, option->name)
                     : snprintf(left, sizeof left, "      --%s", option->name);
    const char *argument = argument_of(option);
    if (argument)
        length += snprintf(left + length, sizeof left - (size_t)length, " %s", argument);
    printf("%s", left);
    if (length + 2 > INDENT) {
        putchar('\n');
        length = 0;
    }
    printf("%*s", INDENT - length, "");

    struct ps_text help = {0}, value = {0};
    ps_text_printf(&help, "%s", option->help);
    if (option->kind == PS_OPT_CHOICE)
        ps_text_printf(&help, ": %s", option->argument);
    ps_opt_value(option, &value);
    bool off = option->kind == PS_OPT_FLAG && !*(bool *)option->value;
    const char *alias = option->aliases;
    for (const char *lead = " (or"; alias && *alias; lead = ",") {
        size_t name = strcspn(alias, " ");
        ps_text_printf(&help, "%s --%.*s", lead, (int)name, alias);
        alias += name + strspn(alias + name, " ");
        if (!*alias)
            ps_text_printf(&help, ")");
    }
    if (value.length && !off)
        ps_text_printf(&help, " [%s]", value.data);
    ps_print_wrapped(help.data ? help.data : option->help, INDENT, INDENT);
    ps_text_free(&value);
    ps_text_free(&help);
}

void ps_opt_print_help(const struct ps_command *command)
{
    const char *line = command->synopsis;
    for (const char *lead = "usage:"; line; lead = "      ") {
        size_t length = strcspn(line, "\n");
        printf("%s %s %.*s\n", lead, command->name, (int)length, line);
        line = line[length] ? line + length + 1 : NULL;
    }
    putchar('\n');
    print_summary(command->summary);
    if (command->option_count && command->options[0].kind != PS_OPT_SECTION)
        printf("\nOptions:\n");
    for (size_t i = 0; i < command->option_count; i++) {
        const struct ps_opt *option = &command->options[i];
        if (option->kind == PS_OPT_SECTION)
            printf("\n%s:\n", option->help);
        else if (!option->hidden)
            print_option(option);
    }
    printf("\nCommon to all tools:\n");
    for (size_t i = 0; i < COMMON_COUNT; i++)
        print_option(&common[i]);
    if (command->examples)
        printf("\nExamples:\n%s", command->examples);
    printf("\nManual: man %s\n", command->name);
}

static void print_row(const struct ps_opt *option)
{
    if (option->kind == PS_OPT_SECTION || option->hidden)
        return;
    bool flag = option->kind == PS_OPT_FLAG, words = option->kind == PS_OPT_CHOICE;
    const char *kind = flag    ? "flag"
                       : words ? "words"
                               : (ps_opt_names_file(option) ? "file" : "other");
    const char *argument = words ? option->argument : argument_of(option);
    printf("%s\t%.1s\t%s%s\t%s\t%s\n", kind, &option->letter,
           flag && *(bool *)option->value ? "no-" : "", option->name, argument ? argument : "",
           option->help);
}

void ps_opt_print_table(const struct ps_command *command)
{
    if (command->choices)
        printf("operand\t\t\t%s\t\n", command->choices);
    for (size_t i = 0; i < command->option_count; i++)
        print_row(&command->options[i]);
    for (size_t i = 0; i < COMMON_COUNT; i++)
        print_row(&common[i]);
}

/* Levenshtein distance of a[0..n) and b, at most LONGEST_NAME letters of each. */
static size_t distance(const char *a, size_t n, const char *b)
{
    size_t row[LONGEST_NAME + 1], m = strlen(b);
    if (n > LONGEST_NAME || m > LONGEST_NAME)
        return LONGEST_NAME;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

const char *ps_opt_nearest(const struct ps_command *command, const char *name, size_t length)
{
    const char *near = NULL;
    size_t best = length / 3 + 2;
    for (size_t i = 0; i < command->option_count; i++) {
        if (command->options[i].kind == PS_OPT_SECTION)
            continue;
        size_t d = distance(name, length, command->options[i].name);
        if (d < best) {
            best = d;
            near = command->options[i].name;
        }
    }
    return near;
}
