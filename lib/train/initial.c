/* The initial weights of a run. */
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "net/fit.h"
#include "net/model.h"
#include "train/run.h"
#include "train/rundir.h"
#include "weights/weightfile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Proxies are of use where the file was trained on the same classes. */
static bool has_proxies(const struct ps_run *run, const struct ps_safetensors *file)
{
    const char *classes = ps_safetensors_meta(file, "class_names");
    bool same = classes && !strcmp(classes, run->classes.data);
    if (classes && !same)
        ps_info("%s was trained on other classes: the proxies are new", file->name);
    return same;
}

static int load_weights(struct ps_run *run, const char *path)
{
    struct ps_safetensors file;
    struct ps_load_report report;
    struct ps_hash hash;
    int rc = ps_weightfile_open(&file, path);
    if (rc)
        return rc;
    rc = ps_fit_strip(&file, ps_net_spec_of(run->net)->backbone, NULL);
    if (!rc)
        rc = ps_net_load(run->net, &file, has_proxies(run, &file), &report);
    const char *other = rc == PS_EMISMATCH ? ps_fit_backbone(&file) : NULL;
    if (other)
        rc = ps_fail(PS_EMISMATCH, "%s (the file is of %s)", ps_error(), other);
    if (!rc)
        rc = ps_hash_file(path, &hash);
    if (!rc) {
        memcpy(run->init_id, hash.hex, PS_HASH_LENGTH + 1);
        ps_info("%s: %zu tensors loaded, %zu missing", path, report.loaded, report.missing);
    }
    ps_safetensors_close(&file);
    return rc;
}

static struct ps_init kaiming(double fan_out)
{
    return (struct ps_init){PS_INIT_NORMAL, sqrt(2 / fan_out)};
}

static int draw_weights(struct ps_run *run)
{
    const struct ps_train_settings *s = run->settings;
    struct ps_init *proxy = ps_net_initial(run->net, "proxy.weight");
    if (s->proxy_init == PS_PROXY_NORMAL)
        *proxy = (struct ps_init){PS_INIT_NORMAL, 1};
    else if (s->proxy_init == PS_PROXY_KAIMING)
        *proxy = kaiming((double)ps_net_proxy(run->net).rows);
    proxy->scale *= s->proxy_init_scale;
    if (s->embedding_init == PS_EMBEDDING_KAIMING) {
        *ps_net_initial(run->net, "embedding.weight") = kaiming((double)ps_net_dim(run->net));
        *ps_net_initial(run->net, "embedding.bias") = (struct ps_init){PS_INIT_CONSTANT, 0};
    }
    return ps_net_init(run->net, (uint64_t)s->seed);
}

int ps_run_initialise(struct ps_run *run)
{
    const char *init = run->settings->init;
    char *best = NULL;
    strcpy(run->init_id, "random");
    int rc = draw_weights(run);
    if (rc || !init)
        return rc;
    rc = ps_is_folder(init) ? ps_rundir_best(init, 0, &best) : PS_OK;
    if (!rc)
        rc = load_weights(run, best ? best : init);
    free(best);
    return rc;
}
