#include "base/plugin.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>

const void *ps_plugin_load(const char *file, const char *name)
{
    static const char *const places[] = {"", "../lib/ps/"};
    char *program = ps_path_program(), *folder = program ? ps_path_folder(program) : NULL;
    void *plugin = NULL;
    bool found = false;
    for (size_t i = 0; i < sizeof places / sizeof *places && folder && !found; i++) {
        char *path = ps_asprintf("%s/%s%s", folder, places[i], file);
        found = path && ps_is_file(path);
        if (found && !(plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL)))
            ps_fail(PS_ENOTSUP, "%s", dlerror());
        free(path);
    }
    free(program);
    free(folder);
    if (!found)
        ps_fail(PS_ENOTSUP, "no %s beside the program or in ../lib/ps", file);
    const void *symbol = plugin ? dlsym(plugin, name) : NULL;
    if (plugin && !symbol)
        ps_fail(PS_ENOTSUP, "%s: has no %s", file, name);
    return symbol;
}
