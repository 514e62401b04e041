#include "eval/inputs.h"
#include "base/err.h"
#include "base/mem.h"
#include "eval/combine.h"
#include "eval/interop.h"
#include "eval/relabel.h"

#include <stdlib.h>

const char ps_together_words[] = "none|concat|average|join";

static int check_labels(const struct ps_embedding *e)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->label[i] == PS_NO_CLASS)
            return ps_fail(PS_EINVAL,
                           "%s: row %zu (%s) has no class, which evaluation needs (--labels FILE)",
                           e->file, i, e->name ? e->name[i] : "no name");
    return PS_OK;
}

int ps_inputs_load(const struct ps_inputs *inputs, struct ps_embedding *embedding, const char *path,
                   const char *labels)
{
    int rc = ps_embedding_load(embedding, path, labels);
    if (rc)
        return rc;
    rc = check_labels(embedding);
    if (!rc && inputs->whitening)
        rc = ps_whitening_apply(inputs->whitening, embedding);
    if (rc)
        ps_embedding_free(embedding);
    return rc;
}

static int combine(const struct ps_inputs *inputs, char *const *files, size_t count,
                   struct ps_embedding *whole)
{
    static const enum ps_combine how[] = {[PS_CONCAT] = PS_COMBINE_CONCAT,
                                          [PS_AVERAGE] = PS_COMBINE_AVERAGE,
                                          [PS_JOIN] = PS_COMBINE_JOIN};
    struct ps_embedding *parts = ps_calloc(count, sizeof *parts);
    size_t loaded = 0;
    int rc = parts ? PS_OK : PS_ENOMEM;
    while (loaded < count && !rc) {
        rc = ps_inputs_load(inputs, &parts[loaded], files[loaded], inputs->labels);
        loaded += !rc;
    }
    if (!rc)
        rc = ps_embedding_combine(whole, parts, count, how[inputs->together]);
    while (loaded > 0)
        ps_embedding_free(&parts[--loaded]);
    free(parts);
    return rc;
}

int ps_inputs_visit(const struct ps_inputs *inputs, char *const *files, size_t count,
                    int (*work)(void *context, const struct ps_embedding *embedding), void *context)
{
    size_t sets = inputs->together == PS_EACH ? count : 1;
    int rc = PS_OK;
    for (size_t i = 0; i < sets && !rc; i++) {
        struct ps_embedding set;
        rc = inputs->together == PS_EACH ? ps_inputs_load(inputs, &set, files[i], inputs->labels)
                                         : combine(inputs, files, count, &set);
        if (rc)
            break;
        if (inputs->gallery)
            rc = ps_relabel_gallery(&set, inputs->gallery);
        if (!rc)
            rc = work(context, &set);
        ps_embedding_free(&set);
    }
    return rc;
}

ps_whitening *ps_inputs_fit(const char *path, size_t dim, bool whiten)
{
    struct ps_embedding from;
    if (ps_embedding_load(&from, path, NULL))
        return NULL;
    ps_whitening *whitening = ps_whitening_fit(&from, dim ? dim : from.dim, whiten);
    ps_embedding_free(&from);
    return whitening;
}
