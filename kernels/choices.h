/*
 * A cache of measured choices of algorithms: a file of lines "KEY<TAB>CHOICE". A line is appended
 * by one write, so that processes may share the file; malformed lines are ignored. Functions that
 * fail leave the reason in message[0..size).
 */
#ifndef PS_KERNELS_CHOICES_H
#define PS_KERNELS_CHOICES_H

#include <stddef.h>

enum { PS_CHOICE_TEXT = 128 }; /* most bytes of a key or a choice, with the NUL */

struct ps_choices;

/* Reads the file, or creates it. NULL on failure. */
struct ps_choices *ps_choices_open(const char *path, char *message, size_t size);
void ps_choices_close(struct ps_choices *choices);
/* The file, owned by `choices`. */
const char *ps_choices_path(const struct ps_choices *choices);

/* The choice of a key, or NULL. It may contain tabs, and is owned by `choices`. */
const char *ps_choices_find(const struct ps_choices *choices, const char *key);
/* 0 or -1. */
int ps_choices_add(struct ps_choices *choices, const char *key, const char *choice, char *message,
                   size_t size);

#endif
