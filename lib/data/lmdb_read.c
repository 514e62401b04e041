#include "data/lmdb_read.h"
#include "base/err.h"
#include "base/filekind.h"
#include "data/bytes.h"

#include <string.h>

/* Layout of LMDB 0.9 on 64-bit machines, little-endian. */
enum {
    PAGE_HEADER = 16, /* page number, padding, flags, end of the node offsets, end of free space */
    PAGE_FLAGS = 10,
    PAGE_LOWER = 12,
    PAGE_COUNT = 12, /* of an overflow page: how many pages the value takes */
    IS_BRANCH = 1,
    IS_LEAF = 2,
    IS_OVERFLOW = 4,
    IS_META = 8,
    NODE_HEADER = 8, /* size or page number in 3 parts of 16 bits, the key's size */
    NODE_FLAGS = 4,
    NODE_KEY_SIZE = 6,
    NODE_OVERFLOW = 1,
    META_LENGTH = 136,
    META_PAGE_SIZE = 24,
    META_DEPTH = 72 + 6,
    META_ENTRIES = 72 + 32,
    META_ROOT = 72 + 40,
    META_LAST_PAGE = 120,
    META_TRANSACTION = 128,
};
static const uint32_t magic = 0xBEEFC0DE, version = 1;
static const uint64_t no_page = UINT64_MAX;

static int damaged(const struct ps_lmdb *db, const char *what)
{
    return ps_fail(PS_EFORMAT, "%s: corrupt: %s (repack it)", db->name, what);
}

/* The meta page at `offset`, without its page header; NULL if it is none. */
static const unsigned char *meta_at(const struct ps_lmdb *db, size_t offset)
{
    if (db->length < PAGE_HEADER + META_LENGTH || offset > db->length - PAGE_HEADER - META_LENGTH)
        return NULL;
    const unsigned char *page = db->bytes + offset;
    const unsigned char *meta = page + PAGE_HEADER;
    if (!(ps_load_u16(page + PAGE_FLAGS) & IS_META) || ps_load_u32(meta) != magic)
        return NULL;
    return meta;
}

static int read_meta(struct ps_lmdb *db)
{
    const unsigned char *meta = meta_at(db, 0);
    if (!meta)
        return ps_fail_kind(db->name, db->bytes, db->length, "a shard (an LMDB file)");
    if (ps_load_u32(meta + 4) != version)
        return ps_fail(PS_ENOTSUP, "%s: LMDB data version %u; this program reads version %u",
                       db->name, ps_load_u32(meta + 4), version);
    db->page = ps_load_u32(meta + META_PAGE_SIZE);
    if (db->page < 512 || db->page > 65536 || (db->page & (db->page - 1)))
        return damaged(db, "page size");
    const unsigned char *second = meta_at(db, db->page);
    if (!second)
        return ps_fail(PS_EFORMAT, "%s: truncated or corrupt (repack it)", db->name);
    if (ps_load_u64(second + META_TRANSACTION) > ps_load_u64(meta + META_TRANSACTION))
        meta = second;
    uint64_t last = ps_load_u64(meta + META_LAST_PAGE), held = db->length / db->page;
    if (last >= held)
        return ps_fail(PS_EFORMAT, "%s: truncated: %llu of %llu pages (copy it again or repack it)",
                       db->name, (unsigned long long)held, (unsigned long long)last + 1);
    db->pages = last + 1;
    db->root = ps_load_u64(meta + META_ROOT);
    db->entries = ps_load_u64(meta + META_ENTRIES);
    db->depth = ps_load_u16(meta + META_DEPTH);
    return PS_OK;
}

int ps_lmdb_parse(struct ps_lmdb *db, const char *name, const unsigned char *bytes, size_t length)
{
    *db = (struct ps_lmdb){.name = name, .bytes = bytes, .length = length};
    return read_meta(db);
}

/* The page, if it is of that kind; NULL otherwise. */
static const unsigned char *page_at(const struct ps_lmdb *db, uint64_t number, unsigned kind)
{
    if (number < 2 || number >= db->pages)
        return NULL;
    const unsigned char *page = db->bytes + number * db->page;
    if (ps_load_u64(page) != number || ps_load_u16(page + PAGE_FLAGS) != kind)
        return NULL;
    return page;
}

static size_t node_count(const struct ps_lmdb *db, const unsigned char *page)
{
    size_t lower = ps_load_u16(page + PAGE_LOWER);
    return lower < PAGE_HEADER || lower > db->page ? 0 : (lower - PAGE_HEADER) / 2;
}

/* Node i with its header and key inside the page, NULL otherwise. *room is what follows the key. */
static const unsigned char *node_at(const struct ps_lmdb *db, const unsigned char *page, size_t i,
                                    size_t *room)
{
    size_t offset = ps_load_u16(page + PAGE_HEADER + 2 * i);
    if (offset < PAGE_HEADER || offset + NODE_HEADER > db->page)
        return NULL;
    size_t key = ps_load_u16(page + offset + NODE_KEY_SIZE);
    if (key > db->page - offset - NODE_HEADER)
        return NULL;
    *room = db->page - offset - NODE_HEADER - key;
    return page + offset;
}

static int key_of(const unsigned char *node, uint64_t *key)
{
    if (ps_load_u16(node + NODE_KEY_SIZE) != 8)
        return -1;
    *key = 0;
    for (int i = 0; i < 8; i++)
        *key = *key << 8 | node[NODE_HEADER + i];
    return 0;
}

/*
 * The last node whose key is not above `key`, of nodes first..count-1; NULL on damage. The first
 * node of a branch has no key and is below all. *equal: the keys are the same.
 */
static const unsigned char *search(const struct ps_lmdb *db, const unsigned char *page,
                                   size_t first, uint64_t key, size_t *room, int *equal)
{
    size_t low = 0, high = node_count(db, page);
    if (high == 0)
        return NULL;
    *equal = 0;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        const unsigned char *node = node_at(db, page, middle, room);
        uint64_t at;
        if (!node || key_of(node, &at))
            return NULL;
        if (at <= key)
            low = middle;
        else
            high = middle;
    }
    const unsigned char *node = node_at(db, page, low, room);
    uint64_t at;
    if (!node || low < first)
        return node;
    if (key_of(node, &at))
        return NULL;
    *equal = at == key;
    return node;
}

/* The value of a leaf's node. */
static int value_of(const struct ps_lmdb *db, const unsigned char *node, size_t room,
                    const unsigned char **value, size_t *length)
{
    size_t size = ps_load_u32(node);
    const unsigned char *data = node + NODE_HEADER + 8;
    unsigned flags = ps_load_u16(node + NODE_FLAGS);
    if (flags == NODE_OVERFLOW && room >= 8) {
        uint64_t number = ps_load_u64(data);
        const unsigned char *page = page_at(db, number, IS_OVERFLOW);
        if (!page)
            return damaged(db, "page of a value");
        uint64_t count = ps_load_u32(page + PAGE_COUNT);
        if (count == 0 || count > db->pages - number || size > count * db->page - PAGE_HEADER)
            return damaged(db, "length of a value");
        data = page + PAGE_HEADER;
    } else if (flags || size > room) {
        return damaged(db, "length of a value");
    }
    *value = data;
    *length = size;
    return 1;
}

int ps_lmdb_get(const struct ps_lmdb *db, uint64_t key, const unsigned char **value, size_t *length)
{
    if (db->root == no_page)
        return 0;
    uint64_t number = db->root;
    size_t room;
    int equal;
    for (unsigned level = 1; level < db->depth; level++) {
        const unsigned char *page = page_at(db, number, IS_BRANCH);
        const unsigned char *node = page ? search(db, page, 1, key, &room, &equal) : NULL;
        if (!node)
            return damaged(db, "branch page");
        number = ps_load_u32(node) | (uint64_t)ps_load_u16(node + NODE_FLAGS) << 32;
    }
    const unsigned char *page = page_at(db, number, IS_LEAF);
    const unsigned char *node = page ? search(db, page, 0, key, &room, &equal) : NULL;
    if (!node)
        return damaged(db, "leaf page");
    return equal ? value_of(db, node, room, value, length) : 0;
}
