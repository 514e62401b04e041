/* The records of a shard to be written: selected from the manifest, labelled, matched with old
 * shards. */
#ifndef PS_DATA_PACK_LIST_H
#define PS_DATA_PACK_LIST_H

#include "data/pack.h"

struct ps_pack_item {
    const struct ps_entry *entry;
    char *name; /* of the record: the path, and the box if the image has several objects */
    int32_t label;
    enum ps_role role;
    unsigned char source[PS_SOURCE_LENGTH];
    uint32_t width, height;
    enum ps_codec codec;
    ps_shard *old;   /* shard to copy the record from; NULL: it is in the spool */
    size_t record;   /* in `old` */
    uint64_t offset; /* in the spool */
    size_t length;
    char *reason; /* why it cannot be packed, or NULL */
};

struct ps_pack_list {
    struct ps_pack_item *items; /* (count) in manifest order */
    size_t count;
    const char **class_names; /* (classes) sorted; owned by the manifest */
    size_t classes;
    ps_shard **old; /* (old_count) */
    size_t old_count;
};

/* The role of the images of a split. */
enum ps_role ps_role_of(enum ps_split split);

/* Selects and labels the rows of the split. Call ps_pack_list_free() also after a failure. */
int ps_pack_list_make(struct ps_pack_list *list, const struct ps_manifest *manifest,
                      const struct ps_pack_options *options);
void ps_pack_list_free(struct ps_pack_list *list);

/*
 * Finds records to copy in those of the shards at paths[0..count) that exist, are readable and were
 * made with `settings`.
 */
int ps_pack_list_reuse(struct ps_pack_list *list, char *const *paths, size_t count,
                       const char *settings);

#endif
