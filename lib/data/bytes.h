/* Unaligned little-endian loads and stores for binary files. */
#ifndef PS_DATA_BYTES_H
#define PS_DATA_BYTES_H

#include <stdint.h>

static inline uint64_t ps_load(const unsigned char *from, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

static inline uint16_t ps_load_u16(const unsigned char *from)
{
    return (uint16_t)ps_load(from, 2);
}

static inline uint32_t ps_load_u32(const unsigned char *from)
{
    return (uint32_t)ps_load(from, 4);
}

static inline uint64_t ps_load_u64(const unsigned char *from)
{
    return ps_load(from, 8);
}

static inline void ps_store(unsigned char *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (unsigned char)(value >> (8 * i));
}

#endif
