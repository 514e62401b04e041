/*
 * What a person sees on stderr while a program works. The library reports through these functions
 * only; nothing else in it prints. All are safe from any thread.
 */
#ifndef PS_BASE_LOG_H
#define PS_BASE_LOG_H

#include <stdint.h>

enum ps_log_level { PS_LOG_QUIET, PS_LOG_WARN, PS_LOG_INFO, PS_LOG_DEBUG };

/* Program name for the prefix ("ps-pack: ..."); kept as a pointer. Level INFO until set. */
void ps_log_program(const char *name);
void ps_log_level(enum ps_log_level level);

void ps_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ps_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ps_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "NAME: error: ..." with the recorded message of this thread; for main() only. */
void ps_log_error(void);

/*
 * Progress of one activity at a time, with rate and time left: a bar that redraws itself on a
 * terminal, a plain line every ten seconds elsewhere, nothing when quiet. total 0 means unknown.
 * `label` and `unit` are kept as pointers.
 */
void ps_progress_begin(const char *label, uint64_t total, const char *unit);
void ps_progress_add(uint64_t count);
/* A short text shown behind the bar ("loss 3.142"), copied. */
void ps_progress_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends the activity with a line that sums it up. */
void ps_progress_end(void);

/* Seconds on a clock that only goes forward. */
double ps_seconds(void);

#endif
