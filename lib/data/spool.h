/* An anonymous temporary file that buffers bytes until their final order is known. */
#ifndef PS_DATA_SPOOL_H
#define PS_DATA_SPOOL_H

#include "base/file.h"

struct ps_spool {
    const char *beside;
    int fd;
    uint64_t length;
    struct ps_map map; /* valid after ps_spool_map */
};

/* Creates it in the folder of `beside`, which must outlive it. Vanishes if the process dies. */
int ps_spool_open(struct ps_spool *spool, const char *beside);
int ps_spool_add(struct ps_spool *spool, const void *bytes, size_t length);
/* Maps the content; nothing can be added afterwards. */
int ps_spool_map(struct ps_spool *spool);
void ps_spool_close(struct ps_spool *spool);

#endif
