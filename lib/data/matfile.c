#include "data/matfile.h"
#include "base/err.h"
#include "base/mem.h"

#include <limits.h>
#include <math.h>
#include <matio.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct ps_mat {
    char *name;
    int fd; /* matio wants a path: a file in memory */
    mat_t *file;
    matvar_t *variable;
    size_t count;
};

static int fill_memory(int fd, const char *name, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length) {
        ssize_t wrote = write(fd, at, length);
        if (wrote <= 0)
            return ps_fail_errno("%s: cannot keep in memory", name);
        at += wrote;
        length -= (size_t)wrote;
    }
    return PS_OK;
}

ps_mat *ps_mat_open(const char *name, const void *bytes, size_t length)
{
    ps_mat *mat = ps_calloc(1, sizeof *mat);
    if (!mat)
        return NULL;
    mat->name = ps_strdup(name);
    mat->fd = memfd_create("annotation.mat", MFD_CLOEXEC);
    if (!mat->name)
        goto fail;
    if (mat->fd < 0) {
        ps_fail_errno("%s: cannot keep in memory", name);
        goto fail;
    }
    if (fill_memory(mat->fd, name, bytes, length))
        goto fail;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", mat->fd);
    mat->file = Mat_Open(path, MAT_ACC_RDONLY);
    if (mat->file)
        return mat;
    ps_fail(PS_EFORMAT, "%s: not a MATLAB file", name);
fail:
    ps_mat_close(mat);
    return NULL;
}

void ps_mat_close(ps_mat *mat)
{
    if (!mat)
        return;
    Mat_VarFree(mat->variable);
    if (mat->file)
        Mat_Close(mat->file);
    if (mat->fd >= 0)
        close(mat->fd);
    free(mat->name);
    free(mat);
}

/* Number of elements; 0 for what has no sensible dimensions. */
static size_t elements(const matvar_t *variable)
{
    size_t count = 1;
    for (int i = 0; i < variable->rank; i++)
        if (__builtin_mul_overflow(count, variable->dims[i], &count))
            return 0;
    return variable->rank > 0 && count <= INT_MAX ? count : 0;
}

int ps_mat_read(ps_mat *mat, const char *variable, size_t *count)
{
    Mat_VarFree(mat->variable);
    mat->variable = Mat_VarRead(mat->file, variable);
    if (!mat->variable)
        return ps_fail(PS_EFORMAT, "%s: no variable '%s'", mat->name, variable);
    *count = mat->count = elements(mat->variable);
    bool fits =
        mat->variable->class_type == MAT_C_STRUCT || mat->variable->class_type == MAT_C_CELL;
    if (!fits || !mat->count || !mat->variable->data)
        return ps_fail(PS_EFORMAT, "%s: variable '%s' is not a struct or cell array", mat->name,
                       variable);
    return PS_OK;
}

/* The value at an element; NULL if there is none with data. */
static const matvar_t *value_at(const ps_mat *mat, size_t index, const char *field)
{
    const matvar_t *value = NULL;
    if (index < mat->count && field && mat->variable->class_type == MAT_C_STRUCT)
        value = Mat_VarGetStructFieldByName(mat->variable, field, index);
    else if (index < mat->count && !field && mat->variable->class_type == MAT_C_CELL)
        value = Mat_VarGetCell(mat->variable, (int)index);
    bool usable = value && value->data && elements(value) > 0 && !value->isComplex &&
                  value->nbytes / elements(value) >= (size_t)value->data_size &&
                  value->data_size > 0;
    return usable ? value : NULL;
}

static double first_number(const matvar_t *value)
{
    switch (value->class_type) {
    case MAT_C_DOUBLE:
        return *(const double *)value->data;
    case MAT_C_SINGLE:
        return *(const float *)value->data;
    case MAT_C_INT8:
        return *(const int8_t *)value->data;
    case MAT_C_UINT8:
        return *(const uint8_t *)value->data;
    case MAT_C_INT16:
        return *(const int16_t *)value->data;
    case MAT_C_UINT16:
        return *(const uint16_t *)value->data;
    case MAT_C_INT32:
        return *(const int32_t *)value->data;
    case MAT_C_UINT32:
        return *(const uint32_t *)value->data;
    default:
        return NAN;
    }
}

int ps_mat_number(const ps_mat *mat, size_t index, const char *field, long least, long most,
                  long *value)
{
    const matvar_t *found = value_at(mat, index, field);
    size_t size = found ? Mat_SizeOfClass(found->class_type) : 0;
    double number = size && found->nbytes >= size ? first_number(found) : NAN;
    if (!(number >= (double)least && number <= (double)most) || number != floor(number))
        return ps_fail(PS_EFORMAT, "%s: field '%s' of element %zu is not a number from %ld to %ld",
                       mat->name, field, index + 1, least, most);
    *value = (long)number;
    return PS_OK;
}

int ps_mat_text(const ps_mat *mat, size_t index, const char *field, char **text)
{
    const matvar_t *found = value_at(mat, index, field);
    bool fits = found && found->class_type == MAT_C_CHAR && found->data_size <= 2;
    struct ps_text out = {0};
    int rc = fits ? ps_text_add(&out, "", 0) : PS_EFORMAT;
    for (size_t i = 0; fits && !rc && i < elements(found); i++) {
        unsigned letter = found->data_size == 1 ? ((const uint8_t *)found->data)[i]
                                                : ((const uint16_t *)found->data)[i];
        char byte = (char)letter;
        if (letter < 0x20 || letter == 0x7f || (letter > 0x7f && found->data_size == 2))
            rc = PS_EFORMAT;
        else
            rc = ps_text_add(&out, &byte, 1);
    }
    if (!rc) {
        *text = out.data;
        return PS_OK;
    }
    ps_text_free(&out);
    if (rc == PS_EFORMAT)
        ps_fail(PS_EFORMAT, "%s: field '%s' of element %zu is not a text", mat->name,
                field ? field : "", index + 1);
    return rc;
}
