/*
 * Command-line options. Each tool has one table, which also drives --help, --config FILE and
 * --print-config. In option names and words, '_' equals '-' and case is ignored.
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
    PS_OPT_LIST,    /* struct ps_text, freed by the tool; repeated values are joined by commas */
    PS_OPT_CHOICE,  /* int: index into the words of `argument`, "adam|adamw|sgd" */
};

struct ps_opt {
    enum ps_opt_kind kind;
    char letter;          /* short form, or 0 */
    const char *name;     /* long form, lower case, hyphens */
    void *value;          /* where the value is stored; holds the default before parsing */
    const char *argument; /* placeholder, "FILE"; of a CHOICE its words; NULL: "N" or "X" */
    const char *help;     /* one phrase, wrapped by --help */
    double least, most;   /* inclusive bounds of a number; both 0: none */
    const char *aliases;  /* other long names, separated by spaces, or NULL */
    /* TEXT: the value names a file of settings in this folder of the programs' (base/config.h), to
     * be read as by --config; NULL */
    const char *library;
    /* Another option, "folds", or a value of it, "dim=0". Where that is given later, in another
     * file or on the command line, this one returns to its default. NULL: none. Not for a LIST */
    const char *yields;
    bool hidden; /* accepted but not listed by --help */
    int given; /* out: 0, or which file or the command line set it, later ones in larger numbers */
    unsigned char initial[sizeof(double)]; /* the default; managed by the parser */
};

/*
 * Rows of an option table. `value` points to the kind's type. After the help text a row may set
 * .letter, .argument, .aliases, .library, .yields and .hidden:
 *     PS_INT("threads", &threads, 0, 4096, "compute threads; 0: all cores", .letter = 'j')
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
/* The conditional makes the compiler warn about a pointer of the wrong type. */
#define PS_OPT_ROW(kind_, type, name_, value_, ...)                                                \
    {                                                                                              \
        .kind = PS_OPT_##kind_, .name = (name_), .value = (void *)(1 ? (value_) : (type *)0),      \
        __VA_ARGS__                                                                                \
    }

struct ps_command {
    const char *name;     /* "ps-pack" */
    const char *synopsis; /* "[options] MANIFEST -o SHARD", one line per form */
    const char *summary;  /* what the tool does, in a sentence or two */
    const char *examples; /* printed verbatim; NULL: none */
    const char *choices;  /* what the first operand is one of, "curves|map"; NULL: anything */
    struct ps_opt *options;
    size_t option_count;
    char **owned; /* strings from config files; managed by the parser */
    size_t owned_count;
    int nested; /* config files being read, one by another */
    int source; /* what is being read: `given` of the options that it sets */
};

enum { PS_OPT_RUN = 0, PS_OPT_DONE = 1 };

/*
 * Parses argv, stores the values, and moves the operands to argv[0..*operands-1], without the
 * program name. Handles the options common to all tools: --help, --version, --config,
 * --print-config, --print-options, --quiet and --verbose; sets program name and level of the log,
 * the handlers of signals, and the standard descriptors. Returns PS_OPT_RUN; PS_OPT_DONE if help,
 * version or configuration was printed; or an error, PS_EUSAGE unless a config file could not be
 * read.
 */
int ps_opt_parse(struct ps_command *command, int argc, char **argv, int *operands);
/*
 * For the end of main(): frees the parser's strings, closes stdout, prints the recorded error if rc
 * is one, and returns the exit status.
 */
int ps_opt_finish(struct ps_command *command, int rc);
void ps_opt_free(struct ps_command *command);

/* Sets one option from text, as a config line does. `where` prefixes error messages. */
int ps_opt_set(struct ps_command *command, const char *where, const char *name, const char *value);

/* Finds an option by name or alias; NULL if there is none. */
struct ps_opt *ps_opt_find(const struct ps_command *command, const char *name);

/* Is the value the name of a file or folder? */
bool ps_opt_names_file(const struct ps_opt *option);

/* Appends the option's value as text; "" for a TEXT that is NULL. */
int ps_opt_value(const struct ps_opt *option, struct ps_text *out);

/* Appends "name = value" lines, as --config reads them, for all options that have a value. */
int ps_opt_config(const struct ps_command *command, struct ps_text *out);

/* Index of a word in "a|b|c", or -1. */
int ps_choice_index(const char *words, const char *word);

/* Parses a list "1,2,4,8" of numbers >= least, in any order. free(*values). `where` prefixes error
 * messages. */
int ps_parse_longs(const char *where, const char *text, long least, long **values, size_t *count);

#endif
