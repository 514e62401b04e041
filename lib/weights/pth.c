#include "weights/pth.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "weights/names.h"
#include "weights/storages.h"

#include <stdlib.h>
#include <string.h>

/* Limit on copied views, as a multiple of the file size; real files stay far below. */
enum {
    MAX_NAME = 1000,
    MAX_UNFOLDING = 16,
    MAX_NESTING = 4,
    MAX_DEPTH = 40,
    MAX_VISITED = 1 << 18
};

/* Layout of a tensor in its storage. */
struct view {
    struct ps_storage storage;
    size_t offset;
    size_t strides[PS_MAX_DIMS];
    bool copied; /* not contiguous */
};

struct builder {
    struct ps_safetensors *file;
    const struct ps_checkpoint *checkpoint;
    struct view *views; /* of file->tensors */
    size_t tensor_capacity, view_capacity;
    size_t visited; /* by add_nested */
};

static int bad_tensor(const struct builder *builder, const char *tensor, const char *what)
{
    return ps_fail(PS_EFORMAT, "%s: tensor \"%s\" %s", builder->checkpoint->name, tensor, what);
}

static bool read_sizes(const struct ps_pickle_value *tuple, int64_t *out, size_t count)
{
    if (tuple->kind != PS_PICKLE_TUPLE || tuple->count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (tuple->items[i]->kind != PS_PICKLE_INT || tuple->items[i]->integer < 0)
            return false;
        out[i] = tuple->items[i]->integer;
    }
    return true;
}

/* Checks that every element lies in the storage and sets view->copied. */
static bool place_view(const struct ps_tensor *tensor, struct view *view)
{
    size_t last = view->offset, dense = 1;
    view->copied = false;
    if (!tensor->count)
        return true;
    for (int i = tensor->ndim - 1; i >= 0; i--) {
        size_t extent = (size_t)tensor->shape[i], reach;
        if (__builtin_mul_overflow(extent - 1, view->strides[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return false;
        view->copied |= extent > 1 && view->strides[i] != dense;
        dense *= extent;
    }
    return last < view->storage.count;
}

/* The type of a tensor whose storage class does not say it, such as torch.uint16; or NULL. */
static const struct ps_pickle_value *named_type(const struct ps_pickle_value *made)
{
    enum { TYPE = 6 };
    const struct ps_pickle_value *type = made->count > TYPE ? made->items[TYPE] : NULL;
    return type && type->kind == PS_PICKLE_GLOBAL ? type : NULL;
}

/* The dtype of that name, or -1. */
static int named_dtype(const struct ps_pickle_value *type)
{
    static const struct {
        const char *name;
        enum ps_dtype dtype;
    } types[] = {{"uint16", PS_U16}, {"uint32", PS_U32}, {"uint64", PS_U64}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (type->name_length == strlen(types[i].name) &&
            !memcmp(type->name, types[i].name, type->name_length))
            return (int)types[i].dtype;
    return -1;
}

static void retype(const struct ps_pickle_value *made, struct ps_storage *storage)
{
    const struct ps_pickle_value *type = named_type(made);
    if (!type)
        return;
    storage->dtype = (enum ps_dtype)named_dtype(type);
    storage->count /= ps_dtype_size(storage->dtype);
}

/* What makes a tensor one that is not read: its type, or that it is sparse or quantised. NULL: it
 * is read, or no tensor. */
static const struct ps_pickle_value *reason_to_skip(const struct ps_pickle_value *made)
{
    static const char rebuilt[] = "_rebuild_";
    if (made->kind == PS_PICKLE_OBJECT)
        return made->class->name_length > strlen(rebuilt) &&
                       !memcmp(made->class->name, rebuilt, strlen(rebuilt))
                   ? made->class
                   : NULL;
    if (made->kind != PS_PICKLE_TENSOR || !made->count)
        return NULL;
    const struct ps_pickle_value *storage = made->items[0], *type = named_type(made);
    if (type && named_dtype(type) < 0)
        return type;
    return storage->kind == PS_PICKLE_STORAGE && storage->count > 1 &&
                   storage->items[1]->kind == PS_PICKLE_GLOBAL && storage->items[1]->opaque
               ? storage->items[1]
               : NULL;
}

/* Is the tensor left out, with a warning? */
static bool is_skipped(const struct builder *builder, const char *prefix,
                       const struct ps_pickle_value *key, const struct ps_pickle_value *made)
{
    const struct ps_pickle_value *reason = reason_to_skip(made);
    char shown[180];
    if (!reason)
        return false;
    ps_pickle_describe(reason, shown, sizeof shown);
    ps_warn("%s: tensor \"%s%.*s\" left out: %s is not read", builder->checkpoint->name, prefix,
            (int)key->length, key->text, shown);
    return true;
}

/* `made` is TENSOR: storage, offset, sizes, strides. Takes ownership of `name`, NULL included. */
static int add_tensor(struct builder *builder, char *name, const struct ps_pickle_value *made)
{
    struct ps_safetensors *file = builder->file;
    int rc = name ? PS_OK : PS_ENOMEM;
    if (!rc)
        rc = ps_grow(&file->tensors, &builder->tensor_capacity, file->count + 1,
                     sizeof *file->tensors);
    if (!rc)
        rc = ps_grow(&builder->views, &builder->view_capacity, file->count + 1,
                     sizeof *builder->views);
    if (rc) {
        free(name);
        return rc;
    }
    struct ps_tensor *tensor = &file->tensors[file->count];
    struct view *view = &builder->views[file->count++];
    *tensor = (struct ps_tensor){.name = name};
    *view = (struct view){0};

    if (made->count < 4 || made->items[1]->kind != PS_PICKLE_INT || made->items[1]->integer < 0 ||
        made->items[2]->kind != PS_PICKLE_TUPLE)
        return bad_tensor(builder, name, "has an invalid description");
    if ((rc = ps_checkpoint_storage(builder->checkpoint, made->items[0], &view->storage)))
        return rc;
    retype(made, &view->storage);
    int64_t strides[PS_MAX_DIMS];
    size_t ndim = made->items[2]->count, bytes;
    if (ndim > PS_MAX_DIMS)
        return bad_tensor(builder, name, "has too many dimensions");
    if (!read_sizes(made->items[2], tensor->shape, ndim) ||
        !read_sizes(made->items[3], strides, ndim))
        return bad_tensor(builder, name, "has a bad shape");
    for (size_t i = 0; i < ndim; i++)
        view->strides[i] = (size_t)strides[i];
    tensor->ndim = (int)ndim;
    tensor->dtype = view->storage.dtype;
    view->offset = (size_t)made->items[1]->integer;
    if (ps_shape_size(tensor->shape, tensor->ndim, tensor->dtype, &tensor->count, &bytes) ||
        tensor->count > view->storage.count || !place_view(tensor, view))
        return bad_tensor(builder, name, "is larger than its storage");
    if (!view->copied && tensor->count)
        tensor->data = view->storage.data + view->offset * ps_dtype_size(tensor->dtype);
    return PS_OK;
}

/* Copies the elements of a view in row-major order. */
static void gather(const struct ps_tensor *tensor, const struct view *view, unsigned char *out)
{
    size_t size = ps_dtype_size(tensor->dtype), at = view->offset;
    int64_t index[PS_MAX_DIMS] = {0};
    for (size_t i = 0; i < tensor->count; i++) {
        memcpy(out + i * size, view->storage.data + at * size, size);
        for (int axis = tensor->ndim - 1; axis >= 0; axis--) {
            at += view->strides[axis];
            if (++index[axis] < tensor->shape[axis])
                break;
            at -= view->strides[axis] * (size_t)tensor->shape[axis];
            index[axis] = 0;
        }
    }
}

static int copy_views(struct builder *builder)
{
    struct ps_safetensors *file = builder->file;
    size_t total = 0, limit = builder->checkpoint->length;
    if (__builtin_mul_overflow(limit, (size_t)MAX_UNFOLDING, &limit))
        limit = SIZE_MAX;
    for (size_t i = 0; i < file->count; i++) {
        size_t bytes = file->tensors[i].count * ps_dtype_size(file->tensors[i].dtype);
        if (!builder->views[i].copied)
            continue;
        if (bytes > limit - total)
            return bad_tensor(builder, file->tensors[i].name,
                              "and others share the same data too often");
        total += bytes;
    }
    unsigned char *at = file->owned = ps_calloc(total, 1);
    if (!at)
        return PS_ENOMEM;
    for (size_t i = 0; i < file->count; i++) {
        if (!builder->views[i].copied)
            continue;
        gather(&file->tensors[i], &builder->views[i], at);
        file->tensors[i].data = at;
        at += file->tensors[i].count * ps_dtype_size(file->tensors[i].dtype);
    }
    return PS_OK;
}

static bool has_keys(const struct ps_pickle_value *item)
{
    return item && (item->kind == PS_PICKLE_DICT || item->kind == PS_PICKLE_OBJECT);
}

/* Adds all tensors of a dictionary, with names mapped by `rename`. */
static int add_dict(struct builder *builder, const struct ps_pickle_value *dict,
                    char *(*rename)(const char *key))
{
    if (!has_keys(dict))
        return PS_OK;
    for (size_t i = 0; i + 1 < dict->count; i += 2) {
        const struct ps_pickle_value *key = dict->items[i], *made = dict->items[i + 1];
        if (key->kind != PS_PICKLE_STRING || is_skipped(builder, "", key, made) ||
            made->kind != PS_PICKLE_TENSOR)
            continue;
        if (key->length > MAX_NAME)
            return ps_fail(PS_EFORMAT, "%s: tensor name of %zu bytes", builder->checkpoint->name,
                           key->length);
        char name[MAX_NAME + 1];
        memcpy(name, key->text, key->length);
        name[key->length] = '\0';
        int rc = add_tensor(builder, rename(name), made);
        if (rc)
            return rc;
    }
    return PS_OK;
}

/* Parts of a pickled torch.nn.Module, which the names of its state_dict lack. */
static bool is_module_part(const char *key, size_t length)
{
    static const char *const parts[] = {"_parameters", "_buffers", "_modules"};
    bool found = false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        found = found || (length == strlen(parts[i]) && !memcmp(key, parts[i], length));
    return found;
}

/* Adds the tensors of dictionaries and modules within each other, by names joined with dots. */
static int add_nested(struct builder *builder, const struct ps_pickle_value *dict,
                      const char *prefix, int depth)
{
    int rc = PS_OK;
    for (size_t i = 0; i + 1 < dict->count && !rc && depth < MAX_DEPTH; i += 2) {
        const struct ps_pickle_value *key = dict->items[i], *item = dict->items[i + 1];
        bool nested = has_keys(item);
        if (key->kind != PS_PICKLE_STRING || key->length > MAX_NAME ||
            is_skipped(builder, prefix, key, item) || (!nested && item->kind != PS_PICKLE_TENSOR))
            continue;
        if (++builder->visited > MAX_VISITED || strlen(prefix) > MAX_NAME)
            return ps_fail(PS_EFORMAT, "%s: too many nested objects", builder->checkpoint->name);
        const char *dot = nested ? "." : "";
        char *name = nested && is_module_part(key->text, key->length)
                         ? ps_strdup(prefix)
                         : ps_asprintf("%s%.*s%s", prefix, (int)key->length, key->text, dot);
        if (!nested)
            rc = add_tensor(builder, name, item);
        else
            rc = name ? add_nested(builder, item, name, depth + 1) : PS_ENOMEM;
        if (nested)
            free(name);
    }
    return rc;
}

static const struct ps_pickle_value *state_dict(const struct ps_pickle_value *root)
{
    static const char *const wrappers[] = {"state_dict", "model_state_dict", "model_state",
                                           "model"};
    for (int depth = 0; depth < MAX_NESTING; depth++) {
        const struct ps_pickle_value *inner = NULL;
        for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers && !inner; i++) {
            inner = ps_pickle_get(root, wrappers[i]);
            if (!has_keys(inner))
                inner = NULL;
        }
        if (!inner)
            break;
        root = inner;
    }
    return root;
}

static int no_tensors(const struct builder *builder, const struct ps_pickle_value *root)
{
    const struct ps_pickle_value *held = state_dict(root);
    if (held->kind == PS_PICKLE_OBJECT) {
        char class[180];
        ps_pickle_describe(held->class, class, sizeof class);
        return ps_fail(PS_EFORMAT, "%s: a whole pickled object, %s; save its state_dict() instead",
                       builder->checkpoint->name, class);
    }
    struct ps_text keys = {0};
    for (size_t i = 0; root->kind == PS_PICKLE_DICT && i < root->count && i < 16; i += 2)
        if (root->items[i]->kind == PS_PICKLE_STRING && root->items[i]->length < 80)
            ps_text_printf(&keys, "%s%.*s", keys.length ? ", " : "", (int)root->items[i]->length,
                           root->items[i]->text);
    int rc = ps_fail(PS_EFORMAT, "%s: no state_dict (found: %s)", builder->checkpoint->name,
                     keys.length ? keys.data : "nothing named");
    ps_text_free(&keys);
    return rc;
}

static int build(struct builder *builder)
{
    const struct ps_pickle_value *root = builder->checkpoint->pickle.root;
    int rc = add_dict(builder, state_dict(root), ps_strdup);
    if (!rc)
        rc = add_dict(builder, ps_pickle_get(root, "embedding_state"), ps_name_of_embedding);
    if (!rc)
        rc = add_dict(builder, ps_pickle_get(root, "criterion_state"), ps_name_of_criterion);
    if (!rc && !builder->views && has_keys(root))
        rc = add_nested(builder, root, "", 0);
    if (!rc && !builder->views)
        rc = no_tensors(builder, root);
    return rc ? rc : copy_views(builder);
}

int ps_pth_parse(struct ps_safetensors *file, const char *name, const void *bytes, size_t length)
{
    *file = (struct ps_safetensors){0};
    struct ps_checkpoint checkpoint;
    int rc = ps_checkpoint_parse(&checkpoint, name, bytes, length);
    if (rc)
        return rc;
    struct builder builder = {.file = file, .checkpoint = &checkpoint};
    file->name = ps_strdup(name);
    rc = file->name ? build(&builder) : PS_ENOMEM;
    free(builder.views);
    ps_checkpoint_free(&checkpoint);
    if (rc)
        ps_safetensors_close(file);
    return rc;
}
