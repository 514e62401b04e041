/*
 * AMX's tile instructions in plain C, so that the algorithms for them are tested on any machine:
 * each thread has eight tiles of 16 rows of 64 bytes. The 32 products of a sum are added in float64
 * and rounded once, so that results differ from the processor's in the last bits.
 */
#ifndef PS_TESTS_AMX_EMU_TILES_H
#define PS_TESTS_AMX_EMU_TILES_H

#include <stdint.h>
#include <string.h>

enum { EMU_ROWS = 16, EMU_ROW = 64, EMU_LANES = 16 };

typedef struct {
    _Alignas(64) unsigned char byte[EMU_ROWS][EMU_ROW];
} emu_tile;

static _Thread_local emu_tile emu_tiles[8];

static inline void emu_load(int tile, const void *base, size_t stride)
{
    for (size_t i = 0; i < EMU_ROWS; i++)
        memcpy(emu_tiles[tile].byte[i], (const char *)base + i * stride, EMU_ROW);
}

static inline void emu_store(int tile, void *base, size_t stride)
{
    for (size_t i = 0; i < EMU_ROWS; i++)
        memcpy((char *)base + i * stride, emu_tiles[tile].byte[i], EMU_ROW);
}

static inline void emu_zero(int tile)
{
    memset(&emu_tiles[tile], 0, sizeof emu_tiles[tile]);
}

/* Lane i is the bfloat16 in the lower (half 0) or upper 16 bits of pairs[i], as float32. */
static inline void emu_widen(const uint32_t pairs[EMU_LANES], int half, float out[EMU_LANES])
{
    for (int i = 0; i < EMU_LANES; i++) {
        uint32_t bits = half ? pairs[i] & 0xffff0000U : pairs[i] << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static inline void emu_dpbf16ps(int sum, int a, int b)
{
    float wide[EMU_ROWS][2][EMU_LANES];
    for (int k = 0; k < EMU_ROWS; k++) {
        uint32_t row[EMU_LANES];
        memcpy(row, emu_tiles[b].byte[k], sizeof row);
        emu_widen(row, 0, wide[k][0]);
        emu_widen(row, 1, wide[k][1]);
    }
    for (int m = 0; m < EMU_ROWS; m++) {
        float total[EMU_LANES], factor[2][EMU_LANES];
        double exact[EMU_LANES] = {0};
        uint32_t row[EMU_LANES];
        memcpy(total, emu_tiles[sum].byte[m], sizeof total);
        memcpy(row, emu_tiles[a].byte[m], sizeof row);
        emu_widen(row, 0, factor[0]);
        emu_widen(row, 1, factor[1]);
        for (int k = 0; k < EMU_ROWS; k++)
            for (int half = 0; half < 2; half++)
                for (int n = 0; n < EMU_LANES; n++)
                    exact[n] += (double)factor[half][k] * wide[k][half][n];
        for (int n = 0; n < EMU_LANES; n++)
            total[n] = (float)(total[n] + exact[n]);
        memcpy(emu_tiles[sum].byte[m], total, sizeof total);
    }
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#define _tile_loadconfig(config) ((void)(config))
#define _tile_release() ((void)0)
#define _tile_loadd(tile, base, stride) emu_load(tile, base, stride)
#define _tile_stored(tile, base, stride) emu_store(tile, base, stride)
#define _tile_zero(tile) emu_zero(tile)
#define _tile_dpbf16ps(sum, a, b) emu_dpbf16ps(sum, a, b)

#endif
