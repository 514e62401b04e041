/* Numbers in texts: the one place that calls strtol and strtod. */
#ifndef PS_BASE_NUMBER_H
#define PS_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Each reads a decimal number at *text (reals also "inf", "nan" and hexadecimal floats) and moves
 * *text past it. False, with nothing changed, if there is none or it exceeds the type's range.
 */
bool ps_scan_whole(const char **text, int64_t *value);
bool ps_scan_real(const char **text, double *value);
bool ps_scan_float(const char **text, float *value);

/* The same for a text that is one number: nothing follows, least <= value <= most, finite. */
bool ps_parse_whole(const char *text, int64_t least, int64_t most, int64_t *value);
bool ps_parse_real(const char *text, double *value);

/* As printf's %g, with as many digits, from 6, as ps_parse_real needs to read the same number. */
enum { PS_REAL_TEXT = 32 };
void ps_print_real(double value, char text[PS_REAL_TEXT]);

#endif
