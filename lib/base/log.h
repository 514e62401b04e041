/*
 * Log messages and progress on stderr. The library prints nothing by any other route. All functions
 * are thread-safe.
 */
#ifndef PS_BASE_LOG_H
#define PS_BASE_LOG_H

#include <stdint.h>

enum ps_log_level { PS_LOG_QUIET, PS_LOG_WARN, PS_LOG_INFO, PS_LOG_DEBUG };

/* Program name for the prefix ("ps-pack: ..."), not copied. The level is INFO by default. */
void ps_log_program(const char *name);
const char *ps_log_program_name(void);
void ps_log_level(enum ps_log_level level);

void ps_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ps_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ps_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints "NAME: error: " and this thread's recorded message; for main() only. */
void ps_log_error(void);
/* From now on nothing is printed: another process reports the error. */
void ps_log_silence(void);

/*
 * Progress of one activity at a time, with rate and time left: a progress bar on a terminal, a line
 * every ten seconds otherwise, nothing when quiet. total 0: unknown. `label` and `unit` are not
 * copied.
 */
void ps_progress_begin(const char *label, uint64_t total, const char *unit);
void ps_progress_add(uint64_t count);
/* A short text shown after the bar ("loss 3.142"), copied. */
void ps_progress_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends the activity with a summary line. */
void ps_progress_end(void);

/* Monotonic clock, in seconds; also for handlers of signals. */
double ps_seconds(void);

#endif
