/*
 * Command lines: GNU long options from one table per tool, which also gives --help, the defaults,
 * --config FILE and --print-config. In names, '_' equals '-' and case is ignored.
 */
#ifndef PS_BASE_OPT_H
#define PS_BASE_OPT_H

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

enum ps_opt_kind {
    PS_OPT_SECTION, /* a heading in --help; only `help` is used */
    PS_OPT_FLAG,    /* bool: --name, --no-name, --name=true|false */
    PS_OPT_INT,     /* long */
    PS_OPT_REAL,    /* double */
    PS_OPT_TEXT,    /* const char *; NULL means not given */
    PS_OPT_LIST,    /* struct ps_text, the tool's to free; given again, adds behind a comma */
    PS_OPT_CHOICE,  /* int: index into the words of `argument`, "adam|adamw|sgd" */
};

struct ps_opt {
    enum ps_opt_kind kind;
    char letter;          /* short form, or 0 */
    const char *name;     /* long form, lower case, hyphens */
    void *value;          /* what it points to before parsing is the default */
    const char *argument; /* "FILE"; the words of a choice; NULL: "N" or "X" of a number */
    const char *help;     /* one sentence; a line is broken for the reader */
    double least, most;   /* bounds of a number; both 0: none */
    const char *aliases;  /* other long names, separated by spaces, or NULL */
    bool hidden;          /* works, but --help leaves it out: kept for old command lines */
    bool given;           /* set by the parser: came from the command line or a config file */
};

/*
 * The rows of an option table. `value` is a pointer of the kind's type. Behind the help, a row may
 * set .letter, .argument, .aliases or .hidden:
 *     PS_INT("threads", &threads, 0, 4096, "threads that compute; 0: all processors", .letter =
 * 'j')
 */
#define PS_SECTION(title)                                                                          \
    {                                                                                              \
        .kind = PS_OPT_SECTION, .help = (title)                                                    \
    }
#define PS_FLAG(name_, value_, help_, ...)                                                         \
    PS_OPT_ROW(FLAG, bool, name_, value_, .help = (help_), __VA_ARGS__)
#define PS_INT(name_, value_, least_, most_, help_, ...)                                           \
    PS_OPT_ROW(INT, long, name_, value_, .least = (least_), .most = (most_), .help = (help_),      \
               __VA_ARGS__)
#define PS_REAL(name_, value_, least_, most_, help_, ...)                                          \
    PS_OPT_ROW(REAL, double, name_, value_, .least = (least_), .most = (most_), .help = (help_),   \
               __VA_ARGS__)
#define PS_TEXT(name_, value_, argument_, help_, ...)                                              \
    PS_OPT_ROW(TEXT, const char *, name_, value_, .argument = (argument_), .help = (help_),        \
               __VA_ARGS__)
#define PS_LIST(name_, value_, argument_, help_, ...)                                              \
    PS_OPT_ROW(LIST, struct ps_text, name_, value_, .argument = (argument_), .help = (help_),      \
               __VA_ARGS__)
#define PS_CHOICE(name_, value_, words_, help_, ...)                                               \
    PS_OPT_ROW(CHOICE, int, name_, value_, .argument = (words_), .help = (help_), __VA_ARGS__)
/* The conditional makes a pointer of another type a warning. */
#define PS_OPT_ROW(kind_, type, name_, value_, ...)                                                \
    {                                                                                              \
        .kind = PS_OPT_##kind_, .name = (name_), .value = (void *)(1 ? (value_) : (type *)0),      \
        __VA_ARGS__                                                                                \
    }

struct ps_command {
    const char *name;     /* "ps-pack" */
    const char *synopsis; /* "[options] MANIFEST -o SHARD", one line a form */
    const char *summary;  /* what it does, a sentence or two */
    const char *examples; /* lines, shown as they are; NULL for none */
    struct ps_opt *options;
    size_t option_count;
    char **owned; /* strings from config files; kept by the parser */
    size_t owned_count;
};

enum { PS_OPT_RUN = 0, PS_OPT_DONE = 1 };

/*
 * Parses argv, stores values, and moves the operands to argv[0..*operands-1] (without the program's
 * name). Sets the log's program name, and its level from --quiet and --verbose, which every tool
 * has beside --help, --version, --config and --print-config. Returns PS_OPT_RUN; PS_OPT_DONE when
 * help, version or configuration was printed to stdout; or PS_EUSAGE (or a file's error).
 */
int ps_opt_parse(struct ps_command *command, int argc, char **argv, int *operands);
/*
 * The end of main(): frees what the parser kept, closes stdout (a full disk is an error), prints
 * the recorded error if rc is one, and returns the process's exit status for rc.
 */
int ps_opt_finish(struct ps_command *command, int rc);
void ps_opt_free(struct ps_command *command);

/* Sets one option from text, as a config line does. `where` begins the error message. */
int ps_opt_set(struct ps_command *command, const char *where, const char *name, const char *value);

/* The option of that name or alias, or NULL. */
struct ps_opt *ps_opt_find(const struct ps_command *command, const char *name);

/* Appends the option's value as text ("" for TEXT that is NULL). */
int ps_opt_value(const struct ps_opt *option, struct ps_text *out);

/* Appends "name = value" lines for all options that have a value; a file that --config reads. */
int ps_opt_config(const struct ps_command *command, struct ps_text *out);

/* The index of a word in "a|b|c" ('_' equals '-', case ignored), or -1. */
int ps_choice_index(const char *words, const char *word);

/* Parses "1,2,4,8" into ascending or given order; *values is fresh memory. `where` for messages. */
int ps_parse_longs(const char *where, const char *text, long least, long **values, size_t *count);

#endif
