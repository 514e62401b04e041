/*
 * System calls on descriptors, with the results and errno of read(2) and its like. A call that a
 * signal cut short is repeated, unless the signal is one that ends the program (interrupt.h): then
 * errno is EINTR, which ps_fail_errno reports as PS_EINTR.
 */
#ifndef PS_BASE_FD_H
#define PS_BASE_FD_H

#include <stddef.h>
#include <sys/types.h>

/* open(2) with O_CLOEXEC and mode 0666. */
int ps_fd_open(const char *path, int flags);

ssize_t ps_fd_read(int fd, void *bytes, size_t length);

/* Writes all of it: 0 or -1. */
int ps_fd_write(int fd, const void *bytes, size_t length);

int ps_fd_sync(int fd);

/* The size of an open file; an error, recorded for `path`, if it is not a regular one. */
int ps_fd_regular(int fd, const char *path, size_t *size);

/*
 * Takes the numbers 0 to 2 where the caller of this program closed them, so that no file gets one
 * and messages land in it. Reading or writing them fails, but for messages, which are lost.
 */
void ps_fd_reserve_standard(void);

#endif
