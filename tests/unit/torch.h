/* PyTorch as a peer, by a script of tests/torch. */
#ifndef PS_TESTS_TORCH_H
#define PS_TESTS_TORCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static bool has_torch(void)
{
    return system("\"${PYTHON:-python3}\" -c 'import torch' 2>/dev/null") == 0;
}

/* The status of tests/torch/SCRIPT with a file. */
static int run_torch(const char *script, const char *path)
{
    char command[200];
    snprintf(command, sizeof command, "\"${PYTHON:-python3}\" tests/torch/%s %s >&2", script, path);
    return system(command);
}

#endif
