/* The images that a shard is to hold: chosen from the manifest, labelled, matched with old shards.
 */
#ifndef PS_DATA_PACK_LIST_H
#define PS_DATA_PACK_LIST_H

#include "data/pack.h"

struct ps_pack_item {
    const struct ps_entry *entry;
    int32_t label;
    enum ps_role role;
    unsigned char source[PS_SOURCE_LENGTH];
    uint32_t width, height;
    enum ps_codec codec;
    ps_shard *old;   /* where its record is copied from; NULL: from the spool */
    size_t record;   /* in `old` */
    uint64_t offset; /* in the spool */
    size_t length;
    char *reason; /* why it cannot be packed; NULL: it can */
};

struct ps_pack_list {
    struct ps_pack_item *items; /* (count) in manifest order */
    size_t count;
    const char **class_names; /* (classes) sorted; of the manifest */
    size_t classes;
    ps_shard **old; /* (old_count) */
    size_t old_count;
};

/* Rows of the split, with labels. ps_pack_list_free() it, also after a failure. */
int ps_pack_list_make(struct ps_pack_list *list, const struct ps_manifest *manifest,
                      const struct ps_pack_options *options);
void ps_pack_list_free(struct ps_pack_list *list);

/*
 * Looks for records that can be copied in the shards at paths[0..count), as far as they exist, can
 * be read, and were made with `settings`.
 */
int ps_pack_list_reuse(struct ps_pack_list *list, char *const *paths, size_t count,
                       const char *settings);

#endif
