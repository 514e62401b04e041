#include "eval/zstream.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { BLOCK = 1 << 17, LIMIT_BASE = 64 << 20, LIMIT_RATIO = 1000 };

bool ps_is_zstd(const void *bytes, size_t length)
{
    static const unsigned char magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    static const unsigned char skippable[] = {0x2a, 0x4d, 0x18}; /* after 0x50 to 0x5f */
    const unsigned char *start = bytes;
    return length >= sizeof magic && (!memcmp(start, magic, sizeof magic) ||
                                      (start[0] >> 4 == 5 && !memcmp(start + 1, skippable, 3)));
}

static int fail_zstd(const char *name, size_t code)
{
    return ps_fail(PS_EFORMAT, "%s: zstd cannot unpack it: %s", name, ZSTD_getErrorName(code));
}

static int unpack(ZSTD_DStream *stream, const char *name, ZSTD_inBuffer *in, struct ps_text *out)
{
    size_t limit = LIMIT_BASE + in->size * LIMIT_RATIO, capacity = 0, state = 1;
    unsigned long long size = ZSTD_getFrameContentSize(in->src, in->size);
    if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR)
        size = 0;
    for (;;) {
        if (size > limit || out->length > limit)
            return ps_fail(PS_EFORMAT, "%s: decompresses to more than %zu MiB", name, limit >> 20);
        size_t need = out->length + (in->pos || !size ? BLOCK : (size_t)size + 1);
        int rc = capacity - out->length >= BLOCK ? PS_OK : ps_grow(&out->data, &capacity, need, 1);
        if (rc)
            return rc;
        ZSTD_outBuffer to = {out->data, capacity, out->length};
        size_t before = in->pos;
        state = ZSTD_decompressStream(stream, &to, in);
        if (ZSTD_isError(state))
            return fail_zstd(name, state);
        bool moved = in->pos > before || to.pos > out->length;
        out->length = to.pos;
        if (in->pos == in->size && (!state || !moved))
            break;
    }
    return state ? ps_fail(PS_EFORMAT, "%s: cut short: the zstd frame is not complete", name)
                 : PS_OK;
}

int ps_zstd_unpack(const char *name, const void *bytes, size_t length, void **out,
                   size_t *out_length)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (!stream)
        return ps_fail(PS_ENOMEM, "out of memory");
    ZSTD_inBuffer in = {bytes, length, 0};
    struct ps_text text = {0};
    int rc = unpack(stream, name, &in, &text);
    ZSTD_freeDStream(stream);
    if (rc) {
        ps_text_free(&text);
        return rc;
    }
    *out = text.data;
    *out_length = text.length;
    return PS_OK;
}

/* What the stream given to write() ends in: only counted, or packed into `out`. */
struct sink {
    ZSTD_CStream *packer; /* NULL: only count */
    FILE *out;
    char *block;
    size_t count;
};

static int pack(struct sink *sink, ZSTD_inBuffer *in, ZSTD_EndDirective end)
{
    size_t left;
    do {
        ZSTD_outBuffer to = {sink->block, BLOCK, 0};
        left = ZSTD_compressStream2(sink->packer, &to, in, end);
        if (ZSTD_isError(left))
            return ps_fail(PS_EIO, "zstd: %s", ZSTD_getErrorName(left));
        if (to.pos && fwrite(sink->block, 1, to.pos, sink->out) != to.pos)
            return ps_fail(PS_EIO, "cannot write");
    } while (end == ZSTD_e_end ? left > 0 : in->pos < in->size);
    return PS_OK;
}

static ssize_t take(void *cookie, const char *bytes, size_t length)
{
    struct sink *sink = cookie;
    sink->count += length;
    if (!sink->packer)
        return (ssize_t)length;
    ZSTD_inBuffer in = {bytes, length, 0};
    return pack(sink, &in, ZSTD_e_continue) ? 0 : (ssize_t)length;
}

static int write_through(struct sink *sink, int (*write)(void *context, FILE *stream),
                         void *context)
{
    sink->count = 0;
    FILE *stream = fopencookie(sink, "w", (cookie_io_functions_t){.write = take});
    if (!stream)
        return ps_fail_errno("cannot open a stream");
    int rc = write(context, stream);
    if (fclose(stream) && !rc)
        rc = ps_fail(PS_EIO, "cannot write");
    return rc;
}

int ps_zstd_write(FILE *stream, int level, int (*write)(void *context, FILE *stream), void *context)
{
    struct sink sink = {.out = stream};
    int rc = write_through(&sink, write, context);
    if (rc)
        return rc;
    ZSTD_CStream *packer = ZSTD_createCStream();
    sink.packer = packer;
    sink.block = ps_calloc(BLOCK, 1);
    if (!packer || !sink.block) {
        rc = ps_fail(PS_ENOMEM, "out of memory");
    } else {
        ZSTD_CCtx_setParameter(packer, ZSTD_c_compressionLevel, level);
        ZSTD_CCtx_setParameter(packer, ZSTD_c_checksumFlag, 1);
        ZSTD_CCtx_setPledgedSrcSize(packer, sink.count);
        rc = write_through(&sink, write, context);
        ZSTD_inBuffer nothing = {"", 0, 0};
        if (!rc)
            rc = pack(&sink, &nothing, ZSTD_e_end);
    }
    ZSTD_freeCStream(packer);
    free(sink.block);
    return rc;
}
