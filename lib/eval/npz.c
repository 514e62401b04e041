#include "eval/npz.h"
#include "base/err.h"
#include "base/mem.h"
#include "eval/npy.h"
#include "weights/zip.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_MEMBER = 128 };
static const char ending[] = ".npy";

struct writer {
    struct archive *archive;
    FILE *stream;
};

static la_ssize_t pass_on(struct archive *archive, void *context, const void *bytes, size_t length)
{
    (void)archive;
    const struct writer *writer = context;
    return fwrite(bytes, 1, length, writer->stream) == length ? (la_ssize_t)length : -1;
}

static int fail_write(struct writer *writer)
{
    const char *reason = archive_error_string(writer->archive);
    return ps_fail(PS_EIO, "cannot write the archive: %s", reason ? reason : "out of memory");
}

static int put_bytes(struct writer *writer, const void *bytes, size_t length)
{
    return archive_write_data(writer->archive, bytes, length) == (la_ssize_t)length
               ? PS_OK
               : fail_write(writer);
}

/* Begins the member `name`.npy: an array of shape[0..ndim), whose values of `size` bytes follow. */
static int begin(struct writer *writer, const char *name, const char *descr, size_t size,
                 const size_t *shape, int ndim)
{
    char header[PS_NPY_HEADER], member[LONGEST_MEMBER];
    size_t length = ps_npy_header(header, descr, shape, ndim);
    for (int i = 0; i < ndim; i++)
        size *= shape[i];
    if (snprintf(member, sizeof member, "%s%s", name, ending) >= (int)sizeof member)
        return ps_fail(PS_EINVAL, "the name %.40s... is too long for an array", name);
    struct archive_entry *entry = archive_entry_new();
    if (!entry)
        return ps_fail(PS_ENOMEM, "out of memory");
    archive_entry_set_pathname(entry, member);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)(length + size));
    int rc =
        archive_write_header(writer->archive, entry) == ARCHIVE_OK ? PS_OK : fail_write(writer);
    archive_entry_free(entry);
    return rc ? rc : put_bytes(writer, header, length);
}

static int put_array(struct writer *writer, const char *name, const char *descr, size_t size,
                     const void *values, size_t rows, size_t columns)
{
    const size_t shape[] = {rows, columns};
    int rc = begin(writer, name, descr, size, shape, columns ? 2 : 1);
    return rc ? rc : put_bytes(writer, values, size * rows * (columns ? columns : 1));
}

/* A vector of texts or, if `single`, one without a dimension. */
static int put_texts(struct writer *writer, const char *name, char *const *texts, size_t n,
                     bool single)
{
    size_t width = 1;
    for (size_t i = 0; i < n; i++) {
        size_t own = ps_npy_points(texts[i], NULL);
        width = own > width ? own : width;
    }
    char descr[32];
    snprintf(descr, sizeof descr, "<U%zu", width);
    uint32_t *points = ps_calloc(width, sizeof *points);
    int rc =
        points ? begin(writer, name, descr, sizeof *points * width, &n, single ? 0 : 1) : PS_ENOMEM;
    for (size_t i = 0; i < n && !rc; i++) {
        memset(points, 0, width * sizeof *points);
        ps_npy_points(texts[i], points);
        rc = put_bytes(writer, points, width * sizeof *points);
    }
    free(points);
    return rc;
}

static int put_classes(struct writer *writer, const struct ps_embedding *e)
{
    const char **lines;
    size_t count;
    int rc = ps_embedding_classes(e, &lines, &count);
    char **names = rc || !count ? NULL : ps_calloc(count, sizeof *names);
    for (size_t i = 0; i < count && names && !rc; i++) {
        names[i] = ps_asprintf("%.*s", (int)strcspn(lines[i], "\n"), lines[i]);
        rc = names[i] ? PS_OK : PS_ENOMEM;
    }
    if (!rc && count)
        rc = names ? put_texts(writer, "class_names", names, count, false) : PS_ENOMEM;
    for (size_t i = 0; i < count && names; i++)
        free(names[i]);
    free(names);
    free(lines);
    return rc;
}

static int put_matrix(struct writer *writer, const struct ps_embedding *e)
{
    if (!e->half)
        return put_array(writer, "embedding", "<f4", 4, e->x, e->n, e->dim);
    uint16_t *half = ps_embedding_halves(e);
    int rc =
        half ? put_array(writer, "embedding", "<f2", 2, half, e->n, e->dim) : (int)ps_error_code();
    free(half);
    return rc;
}

static int put_members(struct writer *writer, const struct ps_embedding *e)
{
    int rc = put_matrix(writer, e);
    if (!rc)
        rc = put_array(writer, "label", "<i8", 8, e->label, e->n, 0);
    if (!rc && e->id)
        rc = put_array(writer, "id", "<i8", 8, e->id, e->n, 0);
    if (!rc && e->role)
        rc = put_array(writer, "role", "|u1", 1, e->role, e->n, 0);
    if (!rc && e->name)
        rc = put_texts(writer, "name", e->name, e->n, false);
    if (!rc)
        rc = put_classes(writer, e);
    for (size_t i = 0; i < e->pairs && !rc; i++)
        if (strcmp(e->metadata[2 * i], "class_names") != 0)
            rc = put_texts(writer, e->metadata[2 * i], &e->metadata[2 * i + 1], 1, true);
    return rc;
}

int ps_npz_put(const struct ps_embedding *embedding, FILE *stream)
{
    struct writer writer = {.archive = archive_write_new(), .stream = stream};
    if (!writer.archive)
        return ps_fail(PS_ENOMEM, "out of memory");
    int rc = PS_OK;
    if (archive_write_set_format_zip(writer.archive) != ARCHIVE_OK ||
        archive_write_zip_set_compression_store(writer.archive) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(writer.archive, 1) != ARCHIVE_OK ||
        archive_write_open(writer.archive, &writer, NULL, pass_on, NULL) != ARCHIVE_OK)
        rc = fail_write(&writer);
    if (!rc)
        rc = put_members(&writer, embedding);
    if (!rc && archive_write_close(writer.archive) != ARCHIVE_OK)
        rc = fail_write(&writer);
    archive_write_free(writer.archive);
    return rc;
}

/* What is read: the archive, and one array of it. */
struct reader {
    struct ps_embedding *e;
    struct ps_zip zip;
    const struct ps_zip_record *record;
    char where[2 * LONGEST_MEMBER]; /* for messages */
};

/* Finds an array: 1, 0 if it is not there, or an error. */
static int find(struct reader *reader, const char *name)
{
    reader->record = ps_zip_find(&reader->zip, name, strlen(name), ending, strlen(ending));
    if (!reader->record)
        return 0;
    snprintf(reader->where, sizeof reader->where, "%.120s: array %.100s", reader->e->file, name);
    return reader->record->data
               ? 1
               : ps_fail(PS_ENOTSUP, "%s: is compressed (numpy.savez writes it plainly)",
                         reader->where);
}

static int check_count(const struct reader *reader, size_t n)
{
    return n == reader->e->n ? PS_OK
                             : ps_fail(PS_EMISMATCH, "%s: %zu values for %zu rows", reader->where,
                                       n, reader->e->n);
}

static int read_ints(struct reader *reader, const char *name, int64_t **values)
{
    size_t n;
    int found = find(reader, name);
    if (found <= 0)
        return found;
    int rc = ps_npy_ints(reader->where, reader->record->data, reader->record->size, values, &n);
    return rc ? rc : check_count(reader, n);
}

static int read_roles(struct reader *reader)
{
    int64_t *roles = NULL;
    int rc = read_ints(reader, "role", &roles);
    if (!rc && roles)
        rc = ps_embedding_set_roles(reader->e, roles, reader->where);
    free(roles);
    return rc;
}

static void free_texts(char **texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
    free(texts);
}

static int read_texts(struct reader *reader, const char *name, char ***texts, size_t *n)
{
    int found = find(reader, name);
    *texts = NULL;
    *n = 0;
    return found <= 0
               ? found
               : ps_npy_texts(reader->where, reader->record->data, reader->record->size, texts, n);
}

static int read_names(struct reader *reader)
{
    char **names;
    size_t n;
    int rc = read_texts(reader, "name", &names, &n);
    if (rc || !names)
        return rc;
    rc = check_count(reader, n);
    if (rc)
        free_texts(names, n);
    else
        reader->e->name = names;
    return rc;
}

/* Texts of the metadata, one a line. */
static int read_meta(struct reader *reader, const char *name)
{
    char **texts;
    size_t n;
    struct ps_text lines = {0};
    int rc = read_texts(reader, name, &texts, &n);
    for (size_t i = 0; i < n && !rc; i++) {
        if (strchr(texts[i], '\n'))
            rc = ps_fail(PS_EFORMAT, "%s: text %zu has a line break", reader->where, i);
        else
            rc = ps_text_printf(&lines, "%s%s", i ? "\n" : "", texts[i]);
    }
    if (!rc && texts)
        rc = ps_embedding_add_meta(reader->e, name, lines.data ? lines.data : "");
    free_texts(texts, n);
    ps_text_free(&lines);
    return rc;
}

int ps_npz_parse(struct ps_embedding *e, const void *bytes, size_t length)
{
    struct reader reader = {.e = e};
    int rc = ps_zip_parse(&reader.zip, e->file, bytes, length);
    if (rc)
        return rc;
    int found = find(&reader, "embedding");
    if (!found)
        rc = ps_fail(PS_EFORMAT, "%s: no array 'embedding': numpy.savez(FILE, embedding=x, ...)",
                     e->file);
    else if (found < 0)
        rc = found;
    else
        rc = ps_npy_floats(reader.where, reader.record->data, reader.record->size, &e->x, &e->n,
                           &e->dim);
    if (!rc)
        rc = read_ints(&reader, "label", &e->label);
    if (!rc)
        rc = read_ints(&reader, "id", &e->id);
    if (!rc)
        rc = read_roles(&reader);
    if (!rc)
        rc = read_names(&reader);
    static const char *const metadata[] = {"class_names", "model_id", "shard_id"};
    for (size_t i = 0; i < sizeof metadata / sizeof *metadata && !rc; i++)
        rc = read_meta(&reader, metadata[i]);
    ps_zip_free(&reader.zip);
    return rc;
}
