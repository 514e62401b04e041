/*
 * Choices of implementations that were measured, kept in a file of lines "KEY<TAB>CHOICE". A line
 * is appended by one write, so that processes may share the file; lines of another form are passed
 * over. Functions that fail leave the reason in message[0..size).
 */
#ifndef PS_KERNELS_CHOICES_H
#define PS_KERNELS_CHOICES_H

#include <stddef.h>

enum { PS_CHOICE_TEXT = 128 }; /* bytes a key or a choice has at most, with its end */

struct ps_choices;

/* Reads the file, or makes an empty one. NULL on failure. */
struct ps_choices *ps_choices_open(const char *path, char *message, size_t size);
void ps_choices_close(struct ps_choices *choices);

/* NULL if there is none. A choice may hold tabs. */
const char *ps_choices_find(const struct ps_choices *choices, const char *key);
int ps_choices_add(struct ps_choices *choices, const char *key, const char *choice, char *message,
                   size_t size);

#endif
