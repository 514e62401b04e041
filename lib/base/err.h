/* Errors: each failure records one message where it is detected; the tool prints it once. */
#ifndef PS_BASE_ERR_H
#define PS_BASE_ERR_H

enum ps_err {
    PS_OK = 0,
    PS_EUSAGE = -1,    /* the command line is wrong; tools exit with 2 */
    PS_EIO = -2,       /* a system call failed */
    PS_EFORMAT = -3,   /* a file is malformed or of another format */
    PS_EINVAL = -4,    /* invalid or inconsistent arguments */
    PS_ENOMEM = -5,    /* out of memory, host or device */
    PS_ENOTSUP = -6,   /* valid, but not supported */
    PS_EINTR = -7,     /* SIGINT, SIGTERM or SIGHUP arrived */
    PS_EMISMATCH = -8, /* made from different data or with different settings */
    PS_ENUMERIC = -9,  /* NaN or infinity where a finite number was expected */
    PS_EBACKEND = -10, /* the compute library or the device failed */
};

/*
 * Records "message" for this thread and returns `code`, so that a function can end with
 * `return ps_fail(PS_EFORMAT, "%s: bad magic", path);`. Callers only propagate the code.
 * A message names the file, the position in it and, if there is one, the remedy. It is a single
 * line: control characters become '?'.
 */
#define ps_fail(code, ...) ps_fail_value(code, ps_fail_record(code, __VA_ARGS__))

/*
 * ps_fail(PS_EIO, ...) with ": " and strerror(errno) appended; PS_EINTR where the call failed
 * because SIGINT, SIGTERM or SIGHUP arrived.
 */
#define ps_fail_errno(...) ps_fail_negative(ps_fail_record_errno(__VA_ARGS__))

/* Implementation of the macros; inline so that static analysers see a value below 0. */
int ps_fail_record(enum ps_err code, const char *format, ...) __attribute__((format(printf, 2, 3)));
int ps_fail_record_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline int ps_fail_value(int code, int recorded)
{
    (void)recorded;
    return code;
}
static inline int ps_fail_negative(int recorded)
{
    return recorded < 0 ? recorded : PS_EIO;
}

/* The last message and code of this thread ("" and PS_OK if none). Valid until the next ps_fail. */
const char *ps_error(void);
enum ps_err ps_error_code(void);

#endif
