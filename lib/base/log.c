#include "base/log.h"
#include "base/err.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *program = "ps";
static enum ps_log_level level = PS_LOG_INFO;
static bool silent;

static struct {
    const char *label, *unit;
    uint64_t total, done;
    double started, shown;
    char note[96];
    bool active, drawn;
} progress;

double ps_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool on_terminal(void)
{
    const char *terminal = getenv("TERM");
    return isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

void ps_log_program(const char *name)
{
    program = name;
}

const char *ps_log_program_name(void)
{
    return program;
}

void ps_log_level(enum ps_log_level new_level)
{
    level = new_level;
}

static void erase_bar(void)
{
    if (progress.drawn)
        fputs("\r\033[K", stderr);
    progress.drawn = false;
}

static void say(const char *prefix, const char *format, va_list args)
{
    pthread_mutex_lock(&lock);
    erase_bar();
    fprintf(stderr, "%s: %s", program, prefix);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    pthread_mutex_unlock(&lock);
}

#define DEFINE_SAY(name, least, prefix)                                                            \
    void name(const char *format, ...)                                                             \
    {                                                                                              \
        if (level < (least))                                                                       \
            return;                                                                                \
        va_list args;                                                                              \
        va_start(args, format);                                                                    \
        say(prefix, format, args);                                                                 \
        va_end(args);                                                                              \
    }
DEFINE_SAY(ps_debug, PS_LOG_DEBUG, "")
DEFINE_SAY(ps_info, PS_LOG_INFO, "")
DEFINE_SAY(ps_warn, PS_LOG_WARN, "warning: ")

void ps_log_error(void)
{
    if (silent)
        return;
    pthread_mutex_lock(&lock);
    erase_bar();
    fprintf(stderr, "%s: error: %s\n", program, ps_error());
    pthread_mutex_unlock(&lock);
}

void ps_log_silence(void)
{
    level = PS_LOG_QUIET;
    silent = true;
}

static void format_time(double seconds, char out[32])
{
    unsigned long whole = (unsigned long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(out, 32, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(out, 32, "%lu:%02lu", whole / 60, whole % 60);
}

static double rate_now(double now)
{
    double elapsed = now - progress.started;
    return elapsed > 0 ? (double)progress.done / elapsed : 0;
}

static void draw(double now, bool terminal)
{
    char left[32] = "?";
    double rate = rate_now(now);
    if (progress.total && rate > 0)
        format_time((double)(progress.total - progress.done) / rate, left);
    if (terminal) {
        enum { WIDTH = 24 };
        char bar[WIDTH + 1];
        size_t full = progress.total ? (size_t)(WIDTH * progress.done / progress.total) : 0;
        memset(bar, '.', WIDTH);
        memset(bar, '#', full < WIDTH ? full : WIDTH);
        bar[WIDTH] = '\0';
        fprintf(stderr, "\r\033[K%s [%s] ", progress.label, bar);
    } else {
        fprintf(stderr, "%s: %s: ", program, progress.label);
    }
    if (progress.total)
        fprintf(stderr, "%llu/%llu %s, %.4g/s, %s left", (unsigned long long)progress.done,
                (unsigned long long)progress.total, progress.unit, rate, left);
    else
        fprintf(stderr, "%llu %s, %.4g/s", (unsigned long long)progress.done, progress.unit, rate);
    if (*progress.note)
        fprintf(stderr, ", %s", progress.note);
    if (!terminal)
        fputc('\n', stderr);
    fflush(stderr);
    progress.drawn = terminal;
    progress.shown = now;
}

void ps_progress_begin(const char *label, uint64_t total, const char *unit)
{
    pthread_mutex_lock(&lock);
    progress.label = label;
    progress.unit = unit;
    progress.total = total;
    progress.done = 0;
    progress.started = progress.shown = ps_seconds();
    progress.note[0] = '\0';
    progress.active = level >= PS_LOG_INFO;
    pthread_mutex_unlock(&lock);
}

void ps_progress_add(uint64_t count)
{
    pthread_mutex_lock(&lock);
    progress.done += count;
    if (progress.active) {
        double now = ps_seconds();
        bool terminal = on_terminal();
        if (now - progress.shown >= (terminal ? 0.1 : 10))
            draw(now, terminal);
    }
    pthread_mutex_unlock(&lock);
}

void ps_progress_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&lock);
    vsnprintf(progress.note, sizeof progress.note, format, args);
    pthread_mutex_unlock(&lock);
    va_end(args);
}

void ps_progress_end(void)
{
    pthread_mutex_lock(&lock);
    if (progress.active) {
        double now = ps_seconds();
        char taken[32];
        format_time(now - progress.started, taken);
        erase_bar();
        fprintf(stderr, "%s: %s: %llu %s in %s (%.4g/s)%s%s\n", program, progress.label,
                (unsigned long long)progress.done, progress.unit, taken, rate_now(now),
                *progress.note ? ", " : "", progress.note);
    }
    progress.active = false;
    pthread_mutex_unlock(&lock);
}
