/* A folder given as --data: it holds shards, or class folders that are packed on first use. */
#ifndef PS_DATA_FOLDER_H
#define PS_DATA_FOLDER_H

/*
 * Finds the shards of folder `path`: path/train.mdb and path/test.mdb; or, if it has train/ and
 * test/ with class folders, those in the cache "PATH.shards" beside it, which is created, or
 * updated where a shard was not made from the images that are there. *test is NULL if there is no
 * test split. free() both.
 */
int ps_folder_shards(const char *path, int threads, char **train, char **test);

#endif
