#include "train/tensorboard.h"
#include "base/err.h"

#include <string.h>
#include <time.h>

enum { MOST_BYTES = 512 };

uint32_t ps_crc32c(const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < length; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82F63B78) : 0);
    }
    return ~crc;
}

/* A protobuf message being written; large enough for one scalar. */
struct message {
    unsigned char bytes[MOST_BYTES];
    size_t length;
};

static void put_little_endian(struct message *m, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        m->bytes[m->length++] = (unsigned char)(value >> (8 * i));
}

static void put_varint(struct message *m, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        m->bytes[m->length++] = (unsigned char)(value | 128);
    m->bytes[m->length++] = (unsigned char)value;
}

/* A field's number and wire type: 0 varint, 1 fixed 64, 2 bytes, 5 fixed 32. */
static void put_key(struct message *m, unsigned field, unsigned type)
{
    put_varint(m, field << 3 | type);
}

static void put_bytes(struct message *m, unsigned field, const void *bytes, size_t length)
{
    put_key(m, field, 2);
    put_varint(m, length);
    memcpy(m->bytes + m->length, bytes, length);
    m->length += length;
}

static void put_double(struct message *m, unsigned field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(m, field, 1);
    put_little_endian(m, bits, 8);
}

static void put_float(struct message *m, unsigned field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(m, field, 5);
    put_little_endian(m, bits, 4);
}

static uint32_t masked(const void *bytes, size_t length)
{
    uint32_t crc = ps_crc32c(bytes, length);
    return (crc >> 15 | crc << 17) + UINT32_C(0xA282EAD8);
}

static int write_record(struct ps_growing *file, const struct message *event)
{
    struct message record = {.length = 0};
    put_little_endian(&record, event->length, 8);
    put_little_endian(&record, masked(record.bytes, 8), 4);
    memcpy(record.bytes + record.length, event->bytes, event->length);
    record.length += event->length;
    put_little_endian(&record, masked(event->bytes, event->length), 4);
    return ps_growing_add(file, record.bytes, record.length);
}

static double wall_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int ps_tensorboard_begin(struct ps_growing *file)
{
    static const char version[] = "brain.Event:2";
    struct message event = {.length = 0};
    put_double(&event, 1, wall_time());
    put_bytes(&event, 3, version, sizeof version - 1);
    return write_record(file, &event);
}

int ps_tensorboard_scalar(struct ps_growing *file, const char *tag, int64_t step, double value)
{
    struct message scalar = {.length = 0}, summary = {.length = 0}, event = {.length = 0};
    if (strlen(tag) > 100)
        return ps_fail(PS_EINVAL, "tag %s is too long", tag);
    put_bytes(&scalar, 1, tag, strlen(tag));
    put_float(&scalar, 2, (float)value);
    put_bytes(&summary, 1, scalar.bytes, scalar.length);
    put_double(&event, 1, wall_time());
    put_key(&event, 2, 0);
    put_varint(&event, (uint64_t)step);
    put_bytes(&event, 5, summary.bytes, summary.length);
    return write_record(file, &event);
}
