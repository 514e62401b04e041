#include "base/err.h"
#include "base/interrupt.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[2048];
static _Thread_local enum ps_err last_code;

static void record(enum ps_err code, const char *format, va_list args)
{
    char text[sizeof message]; /* the arguments may include ps_error() itself */
    vsnprintf(text, sizeof text, format, args);
    for (char *at = text; *at; at++) /* one line, and no escape codes from names in files */
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    memcpy(message, text, sizeof message);
    last_code = code;
}

int ps_fail_record(enum ps_err code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    record(code, format, args);
    va_end(args);
    return code;
}

int ps_fail_record_errno(const char *format, ...)
{
    int saved = errno;
    if (saved == EINTR && ps_interrupted())
        return ps_fail_interrupted();
    va_list args;
    va_start(args, format);
    record(PS_EIO, format, args);
    va_end(args);
    size_t used = strlen(message);
    snprintf(message + used, sizeof message - used, ": %s", strerror(saved));
    return PS_EIO;
}

const char *ps_error(void)
{
    return message;
}

enum ps_err ps_error_code(void)
{
    return last_code;
}
