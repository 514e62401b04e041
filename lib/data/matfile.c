#include "data/matfile.h"
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/mem.h"
#include "base/number.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <matio.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DONE, NOT_MATLAB, NO_VARIABLE, NO_VALUE, NOT_WRITTEN }; /* how the other process ends */
enum { SECONDS = 20, MEMORY = 512 << 20, ROWS_LIMIT = 256 << 20 };

/* Number of elements; 0 for what has no sensible dimensions. */
static size_t elements(const matvar_t *variable)
{
    size_t count = 1;
    for (int i = 0; i < variable->rank; i++)
        if (__builtin_mul_overflow(count, variable->dims[i], &count))
            return 0;
    return variable->rank > 0 && count <= INT_MAX ? count : 0;
}

static bool print_text(FILE *out, const matvar_t *value)
{
    if (value->data_size > 2 || value->nbytes < elements(value) * (size_t)value->data_size)
        return false;
    for (size_t i = 0; i < elements(value); i++) {
        unsigned letter = value->data_size == 1 ? ((const uint8_t *)value->data)[i]
                                                : ((const uint16_t *)value->data)[i];
        bool shown = letter >= 0x20 && letter != 0x7f && (letter < 0x80 || value->data_size == 1);
        fputc(shown ? (int)letter : ' ', out);
    }
    return true;
}

static bool print_number(FILE *out, const matvar_t *value)
{
    if (!elements(value) || value->nbytes < Mat_SizeOfClass(value->class_type))
        return false;
    switch (value->class_type) {
    case MAT_C_DOUBLE:
        return fprintf(out, "%.17g", *(const double *)value->data) > 0;
    case MAT_C_SINGLE:
        return fprintf(out, "%.9g", (double)*(const float *)value->data) > 0;
    case MAT_C_INT8:
        return fprintf(out, "%d", *(const int8_t *)value->data) > 0;
    case MAT_C_UINT8:
        return fprintf(out, "%u", *(const uint8_t *)value->data) > 0;
    case MAT_C_INT16:
        return fprintf(out, "%d", *(const int16_t *)value->data) > 0;
    case MAT_C_UINT16:
        return fprintf(out, "%u", *(const uint16_t *)value->data) > 0;
    case MAT_C_INT32:
        return fprintf(out, "%d", *(const int32_t *)value->data) > 0;
    case MAT_C_UINT32:
        return fprintf(out, "%u", *(const uint32_t *)value->data) > 0;
    default:
        return false;
    }
}

static bool print_value(FILE *out, const matvar_t *value)
{
    fputc('\t', out);
    if (!value || !value->data)
        return value && value->class_type == MAT_C_CHAR && !elements(value);
    return value->class_type == MAT_C_CHAR ? print_text(out, value) : print_number(out, value);
}

static int print_rows(FILE *out, matvar_t *array, const char *const *fields)
{
    enum matio_classes wanted = *fields ? MAT_C_STRUCT : MAT_C_CELL;
    if (!array || array->class_type != wanted || !array->data)
        return NO_VARIABLE;
    size_t count = elements(array);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%zu", i + 1);
        if (!*fields && !print_value(out, Mat_VarGetCell(array, (int)i)))
            return NO_VALUE;
        for (const char *const *field = fields; *field; field++)
            if (!print_value(out, Mat_VarGetStructFieldByName(array, *field, i)))
                return NO_VALUE;
        fputc('\n', out);
    }
    return DONE;
}

/* Pages that count for RLIMIT_DATA (man 5 proc, statm, field 6), 0 if not known. */
static unsigned long writable_pages(void)
{
    char line[256] = "";
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm) {
        if (!fgets(line, sizeof line, statm))
            line[0] = '\0';
        fclose(statm);
    }
    int64_t value = 0;
    const char *at = line;
    for (int field = 1; field <= 6; field++)
        if (!ps_scan_whole(&at, &value))
            return 0;
    return (unsigned long)value;
}

/* A damaged length must not fill the machine's memory, nor a loop take for ever. */
static void limit_resources(void)
{
    struct rlimit time = {.rlim_cur = SECONDS, .rlim_max = SECONDS}, no_core = {0};
    setrlimit(RLIMIT_CPU, &time);
    setrlimit(RLIMIT_CORE, &no_core);
    unsigned long pages = writable_pages();
    if (pages) {
        rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + MEMORY;
        struct rlimit memory = {.rlim_cur = most, .rlim_max = most};
        setrlimit(RLIMIT_DATA, &memory);
    }
}

/* The other process: from one file in memory to another; never returns. */
static _Noreturn void convert(int in, int to, const char *variable, const char *const *fields)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGINT, SIGTERM};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL); /* a handler would think it is in the first process */
    limit_resources();
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDERR_FILENO);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", in);
    mat_t *file = Mat_Open(path, MAT_ACC_RDONLY);
    if (!file)
        _exit(NOT_MATLAB);
    FILE *out = fdopen(to, "wb");
    if (!out)
        _exit(NOT_WRITTEN);
    int status = print_rows(out, Mat_VarRead(file, variable), fields);
    if (fclose(out) && status == DONE)
        status = NOT_WRITTEN;
    _exit(status);
}

static int explain(const char *name, int status, const char *variable)
{
    if (ps_interrupted())
        return ps_fail_interrupted();
    if (!WIFEXITED(status))
        return ps_fail(PS_EFORMAT, "%s: corrupt MATLAB file", name);
    switch (WEXITSTATUS(status)) {
    case DONE:
        return PS_OK;
    case NO_VARIABLE:
        return ps_fail(PS_EFORMAT, "%s: no variable '%s' of the expected type", name, variable);
    case NO_VALUE:
        return ps_fail(PS_EFORMAT, "%s: variable '%s': missing field or value", name, variable);
    case NOT_WRITTEN:
        return ps_fail(PS_ENOMEM, "%s: out of memory", name);
    default:
        return ps_fail(PS_EFORMAT, "%s: not a MATLAB file", name);
    }
}

static int fill(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length) {
        ssize_t wrote = write(fd, at, length);
        if (wrote <= 0)
            return ps_fail_errno("cannot buffer a MATLAB file in memory");
        at += wrote;
        length -= (size_t)wrote;
    }
    return PS_OK;
}

static int run(const char *name, int in, int out, const char *variable, const char *const *fields)
{
    pid_t child = fork();
    if (child < 0)
        return ps_fail_errno("%s: cannot start the reader process", name);
    if (child == 0)
        convert(in, out, variable, fields);
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return ps_fail_errno("%s: cannot wait for the reader process", name);
    return explain(name, status, variable);
}

/* All that was written to `fd`, with a NUL behind. */
static int take(int fd, char **rows)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    void *bytes;
    size_t length;
    int rc = ps_file_read(path, ROWS_LIMIT, &bytes, &length);
    if (!rc)
        *rows = bytes;
    return rc;
}

int ps_mat_rows(const char *name, const void *bytes, size_t length, const char *variable,
                const char *const *fields, char **rows)
{
    int in = memfd_create("mat", MFD_CLOEXEC), out = memfd_create("rows", MFD_CLOEXEC);
    int rc = in >= 0 && out >= 0 ? fill(in, bytes, length)
                                 : ps_fail_errno("%s: cannot buffer it in memory", name);
    if (!rc)
        rc = run(name, in, out, variable, fields);
    if (!rc)
        rc = take(out, rows);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return rc;
}
