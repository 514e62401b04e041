/* Errors: one message per failure, recorded where it is detected, printed once by a tool. */
#ifndef PS_BASE_ERR_H
#define PS_BASE_ERR_H

enum ps_err {
    PS_OK = 0,
    PS_EUSAGE = -1,    /* the command line is wrong; tools exit with 2 */
    PS_EIO = -2,       /* the operating system refused */
    PS_EFORMAT = -3,   /* a file is not what it should be */
    PS_EINVAL = -4,    /* values that do not go together */
    PS_ENOMEM = -5,    /* out of memory, host or device */
    PS_ENOTSUP = -6,   /* well-formed, but not something this build can do */
    PS_EINTR = -7,     /* SIGINT or SIGTERM arrived */
    PS_EMISMATCH = -8, /* made from other data or other settings */
    PS_ENUMERIC = -9,  /* NaN or infinity where a number was expected */
    PS_EBACKEND = -10, /* the compute library or the device failed */
};

/*
 * Records "message" for this thread and returns `code`, so that a function can end with
 * `return ps_fail(PS_EFORMAT, "%s: bad magic", path);`. Callers only propagate the code.
 * A message names the file, the place in it and, where there is one, the remedy; it is one line:
 * control characters become '?'.
 */
#define ps_fail(code, ...) ps_fail_value(code, ps_fail_record(code, __VA_ARGS__))

/* As ps_fail(PS_EIO), with ": " and strerror(errno) appended. */
#define ps_fail_errno(...) ps_fail_value(PS_EIO, ps_fail_record_errno(__VA_ARGS__))

/* What the two macros are made of, so that a static analyser sees which value comes back. */
int ps_fail_record(enum ps_err code, const char *format, ...) __attribute__((format(printf, 2, 3)));
int ps_fail_record_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline int ps_fail_value(int code, int recorded)
{
    (void)recorded;
    return code;
}

/* The last message and code of this thread ("" and PS_OK if none). Valid until the next ps_fail. */
const char *ps_error(void);
enum ps_err ps_error_code(void);

#endif
