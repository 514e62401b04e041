#include "net/params.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

int ps_params_add(struct ps_params *params, const char *name, const int64_t shape[4],
                  enum ps_group group, bool state, struct ps_init init, size_t *offset)
{
    if (ps_params_find(params, name))
        return ps_fail(PS_EINVAL, "two tensors are named %s", name);
    int rc = ps_grow(&params->list, &params->capacity, params->count + 1, sizeof *params->list);
    if (!rc)
        rc =
            ps_grow(&params->init, &params->init_capacity, params->count + 1, sizeof *params->init);
    if (rc)
        return rc;
    struct ps_param param = {.name = ps_strdup(name), .count = 1, .group = group, .state = state};
    if (!param.name)
        return PS_ENOMEM;
    for (; param.ndim < 4 && shape[param.ndim] > 0; param.ndim++) {
        param.shape[param.ndim] = shape[param.ndim];
        param.count *= (size_t)shape[param.ndim];
    }
    size_t *end = state ? &params->state_size : &params->size;
    *offset = param.offset = *end;
    *end += param.count;
    params->init[params->count] = init;
    params->list[params->count++] = param;
    return PS_OK;
}

void ps_params_free(struct ps_params *params)
{
    for (size_t i = 0; i < params->count; i++)
        free((char *)params->list[i].name);
    free(params->list);
    free(params->init);
    *params = (struct ps_params){0};
}

const struct ps_param *ps_params_find(const struct ps_params *params, const char *name)
{
    for (size_t i = 0; i < params->count; i++)
        if (!strcmp(params->list[i].name, name))
            return &params->list[i];
    return NULL;
}

void ps_params_group_range(const struct ps_params *params, enum ps_group group, size_t *offset,
                           size_t *count)
{
    *offset = *count = 0;
    for (size_t i = 0; i < params->count; i++) {
        const struct ps_param *param = &params->list[i];
        if (param->state || param->group > group)
            continue;
        if (param->group == group)
            *count += param->count;
        else
            *offset += param->count;
    }
}

void ps_params_initial(const struct ps_params *params, size_t i, uint64_t seed, float *values)
{
    const struct ps_param *param = &params->list[i];
    const struct ps_init *init = &params->init[i];
    struct ps_rng rng = ps_rng_stream(seed, PS_RNG_INIT, ps_rng_name(param->name), 0);
    for (size_t k = 0; k < param->count; k++) {
        double unit = init->kind == PS_INIT_NORMAL    ? ps_rng_normal(&rng)
                      : init->kind == PS_INIT_UNIFORM ? 2 * ps_rng_uniform(&rng) - 1
                                                      : 1;
        values[k] = (float)(init->scale * unit);
    }
}
