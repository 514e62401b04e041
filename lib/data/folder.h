/* A folder given as --data: shards in it, or class folders that are packed when first used. */
#ifndef PS_DATA_FOLDER_H
#define PS_DATA_FOLDER_H

/*
 * Finds the shards of folder `path`: path/train.mdb and path/test.mdb; or, where it has train/ and
 * test/ with class folders, those of the cache "PATH.shards" beside it, which is made, or brought
 * up to date when images have changed. *test is NULL where there is no test part. free() both.
 */
int ps_folder_shards(const char *path, int threads, char **train, char **test);

#endif
