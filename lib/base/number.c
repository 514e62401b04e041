#include "base/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Takes the number that ends at `end`, unless there is none or it is out of range. */
static bool taken(const char **text, const char *end, bool fits)
{
    if (end == *text || !fits)
        return false;
    *text = end;
    return true;
}

bool ps_scan_whole(const char **text, int64_t *value)
{
    char *end;
    errno = 0;
    long long found = strtoll(*text, &end, 10);
    if (!taken(text, end, errno == 0))
        return false;
    *value = found;
    return true;
}

/* Values too small for the type become 0 or subnormal, which is as close as the type can be. */
bool ps_scan_real(const char **text, double *value)
{
    char *end;
    errno = 0;
    double found = strtod(*text, &end);
    if (!taken(text, end, errno == 0 || isfinite(found)))
        return false;
    *value = found;
    return true;
}

bool ps_scan_float(const char **text, float *value)
{
    char *end;
    errno = 0;
    float found = strtof(*text, &end);
    if (!taken(text, end, errno == 0 || isfinite(found)))
        return false;
    *value = found;
    return true;
}

bool ps_parse_whole(const char *text, int64_t least, int64_t most, int64_t *value)
{
    int64_t found;
    if (!ps_scan_whole(&text, &found) || *text || found < least || found > most)
        return false;
    *value = found;
    return true;
}

bool ps_parse_real(const char *text, double *value)
{
    double found;
    if (!ps_scan_real(&text, &found) || *text || !isfinite(found))
        return false;
    *value = found;
    return true;
}

void ps_print_real(double value, char text[PS_REAL_TEXT])
{
    double back;
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, PS_REAL_TEXT, "%.*g", digits, value);
        if (ps_parse_real(text, &back) && back == value)
            break;
    }
}
