#include "base/filekind.h"
#include "base/err.h"

#include <string.h>

enum { LOOKED_AT = 4096 };

static const struct {
    size_t at;
    const char *magic;
    size_t length;
    const char *kind;
} kinds[] = {
    {0, "\xff\xd8\xff", 3, "a JPEG picture"},
    {0, "\x89PNG\r\n", 6, "a PNG picture"},
    {0, "GIF8", 4, "a GIF picture"},
    {8, "WEBP", 4, "a WebP picture"},
    {0, "II*\0", 4, "a TIFF picture"},
    {0, "MM\0*", 4, "a TIFF picture"},
    {4, "ftypavif", 8, "an AVIF picture"},
    {4, "ftyphei", 7, "a HEIF picture"},
    {0, "\x93NUMPY", 6, "a NumPy array (.npy)"},
    {0, "PK\3\4", 4, "a zip archive"},
    {0, "PK\5\6", 4, "an empty zip archive"},
    {257, "ustar", 5, "a tar archive"},
    {0, "\x1f\x8b", 2, "compressed by gzip"},
    {0, "BZh", 3, "compressed by bzip2"},
    {0,
     "\xfd"
     "7zXZ",
     5, "compressed by xz"},
    {0, "\x28\xb5\x2f\xfd", 4, "compressed by zstd"},
    {0, "7z\xbc\xaf", 4, "a 7z archive"},
    {0, "Rar!", 4, "a RAR archive"},
    {0, "%PDF", 4, "a PDF document"},
    {0, "\x89HDF", 4, "an HDF5 file"},
    {0, "MATLAB 5.0", 10, "a MATLAB file"},
    {0, "PAR1", 4, "a Parquet file"},
    {0, "ARROW1", 6, "an Arrow file"},
    {0, "SQLite format 3", 15, "an SQLite database"},
    {0,
     "\x7f"
     "ELF",
     4, "a program"},
    {0, "\xff\xfe", 2, "UTF-16 text"},
    {0, "\xfe\xff", 2, "UTF-16 text"},
    {16, "\xde\xc0\xef\xbe", 4, "a shard (LMDB)"},
    {8, "{\"", 2, "a safetensors file"},
    {0, "version https://git-lfs", 23, "a Git LFS pointer (git lfs pull fetches the file)"},
};

bool ps_is_npz(const void *start, size_t length)
{
    enum { HEADER = 30 };
    const char *bytes = start;
    if (length < HEADER || memcmp(bytes, "PK\3\4", 4) != 0)
        return false;
    size_t name = (unsigned char)bytes[26] | (size_t)(unsigned char)bytes[27] << 8;
    return name >= 4 && name <= length - HEADER && !memcmp(bytes + HEADER + name - 4, ".npy", 4);
}

/* Protocol buffers: ir_version, then a string. */
static bool is_onnx(const char *bytes, size_t length)
{
    return length > 4 && bytes[0] == 8 && bytes[1] > 0 && bytes[1] < 32 && bytes[2] == 0x12;
}

static const char *kind_of_text(const char *text, size_t length)
{
    const char *end = memchr(text, '\n', length);
    size_t line = end ? (size_t)(end - text) : length;
    if (text[0] == '{' || text[0] == '[')
        return "JSON";
    if (text[0] == '<')
        return "a web page or XML";
    return memchr(text, ',', line) && !memchr(text, '\t', line) ? "comma-separated text" : "text";
}

bool ps_is_text(const void *bytes, size_t length)
{
    const unsigned char *text = bytes;
    for (size_t i = 0; i < length && i < LOOKED_AT; i++)
        if (text[i] < ' ' && text[i] != '\t' && text[i] != '\n' && text[i] != '\r' &&
            text[i] != '\f')
            return false;
    return length > 0;
}

const char *ps_file_kind(const void *bytes, size_t length)
{
    const char *text = bytes;
    if (!length)
        return "empty";
    if (ps_is_npz(text, length))
        return "a NumPy archive (.npz)";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].at + kinds[i].length <= length &&
            !memcmp(text + kinds[i].at, kinds[i].magic, kinds[i].length))
            return kinds[i].kind;
    if (is_onnx(text, length))
        return "an ONNX model";
    return ps_is_text(bytes, length) ? kind_of_text(text, length) : NULL;
}

int ps_fail_kind(const char *name, const void *bytes, size_t length, const char *wanted)
{
    const char *kind = ps_file_kind(bytes, length);
    return ps_fail(PS_EFORMAT, "%s: %s%s%snot %s", name, kind ? "this is " : "", kind ? kind : "",
                   kind ? ", " : "", wanted);
}
