#include "weights/onnx.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Version of the file format (not the operator set): ONNX 1.8. */
enum { IR_VERSION = 7 };

static void *allocate(struct ps_onnx *onnx, size_t count, size_t size)
{
    if (!onnx->rc)
        onnx->rc =
            ps_grow(&onnx->owned, &onnx->owned_capacity, onnx->owned_count + 1, sizeof(void *));
    if (onnx->rc)
        return NULL;
    void *memory = ps_calloc(count, size);
    if (memory)
        onnx->owned[onnx->owned_count++] = memory;
    else
        onnx->rc = PS_ENOMEM;
    return memory;
}

static char *copy(struct ps_onnx *onnx, const char *text)
{
    size_t size = strlen(text) + 1;
    char *made = allocate(onnx, size, 1);
    return made ? memcpy(made, text, size) : NULL;
}

/* Appends a pointer to one of the lists, which are freed by ps_onnx_free. */
static void append(struct ps_onnx *onnx, void *list, size_t *count, size_t *capacity, void *item)
{
    if (!onnx->rc)
        onnx->rc = ps_grow(list, capacity, *count + 1, sizeof(void *));
    if (!onnx->rc)
        (*(void ***)list)[(*count)++] = item;
}

static int64_t *copy_numbers(struct ps_onnx *onnx, int count, const int64_t *values)
{
    int64_t *made = allocate(onnx, (size_t)count, sizeof *made);
    return made ? memcpy(made, values, (size_t)count * sizeof *made) : NULL;
}

static void add_metadata(struct ps_onnx *onnx, const char *name, const char *value)
{
    Onnx__StringStringEntryProto *entry = allocate(onnx, 1, sizeof *entry);
    if (!entry)
        return;
    onnx__string_string_entry_proto__init(entry);
    entry->key = copy(onnx, name);
    entry->value = copy(onnx, value);
    append(onnx, &onnx->model.metadata_props, &onnx->model.n_metadata_props, &onnx->meta_capacity,
           entry);
}

void ps_onnx_init(struct ps_onnx *onnx, const char *name, const char *description, int opset,
                  const char *const *metadata, size_t pairs)
{
    *onnx = (struct ps_onnx){0};
    onnx__graph_proto__init(&onnx->graph);
    onnx__model_proto__init(&onnx->model);
    onnx->graph.name = copy(onnx, name);
    onnx->model.has_ir_version = true;
    onnx->model.ir_version = IR_VERSION;
    onnx->model.producer_name = copy(onnx, "ps-weights");
    onnx->model.producer_version = copy(onnx, PS_VERSION);
    onnx->model.doc_string = copy(onnx, description);
    onnx->model.graph = &onnx->graph;
    Onnx__OperatorSetIdProto **sets = allocate(onnx, 1, sizeof(void *));
    Onnx__OperatorSetIdProto *set = allocate(onnx, 1, sizeof *set);
    if (!set)
        return;
    onnx__operator_set_id_proto__init(set);
    set->domain = copy(onnx, "");
    set->has_version = true;
    set->version = opset;
    sets[0] = set;
    onnx->model.opset_import = sets;
    onnx->model.n_opset_import = 1;
    for (size_t i = 0; i < pairs; i++)
        add_metadata(onnx, metadata[2 * i], metadata[2 * i + 1]);
}

void ps_onnx_free(struct ps_onnx *onnx)
{
    for (size_t i = 0; i < onnx->graph.n_node; i++)
        free(onnx->graph.node[i]->attribute);
    free(onnx->graph.node);
    free(onnx->graph.initializer);
    free(onnx->graph.input);
    free(onnx->graph.output);
    free(onnx->model.metadata_props);
    for (size_t i = 0; i < onnx->owned_count; i++)
        free(onnx->owned[i]);
    free(onnx->owned);
    *onnx = (struct ps_onnx){0};
}

void ps_onnx_node(struct ps_onnx *onnx, const char *op, const char *output, int inputs,
                  const char *const *input)
{
    Onnx__NodeProto *node = allocate(onnx, 1, sizeof *node);
    char **outputs = allocate(onnx, 1, sizeof(char *));
    char **names = allocate(onnx, (size_t)inputs, sizeof(char *));
    if (!names)
        return;
    onnx__node_proto__init(node);
    for (int i = 0; i < inputs; i++)
        names[i] = copy(onnx, input[i]);
    outputs[0] = copy(onnx, output);
    node->name = outputs[0];
    node->op_type = copy(onnx, op);
    node->input = names;
    node->n_input = (size_t)inputs;
    node->output = outputs;
    node->n_output = 1;
    append(onnx, &onnx->graph.node, &onnx->graph.n_node, &onnx->node_capacity, node);
}

static Onnx__AttributeProto *add_attribute(struct ps_onnx *onnx, const char *name)
{
    Onnx__AttributeProto *attribute = allocate(onnx, 1, sizeof *attribute);
    if (!attribute)
        return NULL;
    onnx__attribute_proto__init(attribute);
    attribute->name = copy(onnx, name);
    attribute->has_type = true;
    Onnx__NodeProto *node = onnx->graph.node[onnx->graph.n_node - 1];
    size_t capacity = node->n_attribute;
    append(onnx, &node->attribute, &node->n_attribute, &capacity, attribute);
    return attribute;
}

void ps_onnx_attribute(struct ps_onnx *onnx, const char *name, int64_t value)
{
    Onnx__AttributeProto *attribute = add_attribute(onnx, name);
    if (!attribute)
        return;
    attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    attribute->has_i = true;
    attribute->i = value;
}

void ps_onnx_attributes(struct ps_onnx *onnx, const char *name, int count, const int64_t *values)
{
    Onnx__AttributeProto *attribute = add_attribute(onnx, name);
    if (!attribute)
        return;
    attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    attribute->ints = copy_numbers(onnx, count, values);
    attribute->n_ints = attribute->ints ? (size_t)count : 0;
}

float *ps_onnx_constant(struct ps_onnx *onnx, const char *name, int ndim, const int64_t *shape)
{
    size_t count = 1;
    for (int i = 0; i < ndim; i++)
        count *= (size_t)shape[i];
    Onnx__TensorProto *tensor = allocate(onnx, 1, sizeof *tensor);
    float *values = allocate(onnx, count, sizeof *values);
    if (!values)
        return NULL;
    onnx__tensor_proto__init(tensor);
    tensor->name = copy(onnx, name);
    tensor->dims = copy_numbers(onnx, ndim, shape);
    tensor->n_dims = tensor->dims ? (size_t)ndim : 0;
    tensor->has_data_type = true;
    tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->has_raw_data = true;
    tensor->raw_data =
        (ProtobufCBinaryData){.len = count * sizeof *values, .data = (uint8_t *)values};
    append(onnx, &onnx->graph.initializer, &onnx->graph.n_initializer, &onnx->initializer_capacity,
           tensor);
    return onnx->rc ? NULL : values;
}

static Onnx__TensorShapeProto *make_shape(struct ps_onnx *onnx, int ndim, const int64_t *sizes)
{
    Onnx__TensorShapeProto *shape = allocate(onnx, 1, sizeof *shape);
    Onnx__TensorShapeProto__Dimension **list = allocate(onnx, (size_t)ndim + 1, sizeof(void *));
    Onnx__TensorShapeProto__Dimension *dims = allocate(onnx, (size_t)ndim + 1, sizeof *dims);
    if (!dims)
        return NULL;
    onnx__tensor_shape_proto__init(shape);
    for (int i = 0; i <= ndim; i++) {
        onnx__tensor_shape_proto__dimension__init(&dims[i]);
        list[i] = &dims[i];
        if (i) {
            dims[i].has_dim_value = true;
            dims[i].dim_value = sizes[i - 1];
        }
    }
    dims[0].dim_param = copy(onnx, "N");
    shape->dim = list;
    shape->n_dim = (size_t)ndim + 1;
    return shape;
}

static Onnx__ValueInfoProto *make_value(struct ps_onnx *onnx, const char *name, int ndim,
                                        const int64_t *sizes)
{
    Onnx__TypeProto__Tensor *tensor = allocate(onnx, 1, sizeof *tensor);
    Onnx__TypeProto *type = allocate(onnx, 1, sizeof *type);
    Onnx__ValueInfoProto *value = allocate(onnx, 1, sizeof *value);
    if (!value)
        return NULL;
    onnx__type_proto__tensor__init(tensor);
    onnx__type_proto__init(type);
    onnx__value_info_proto__init(value);
    tensor->has_elem_type = true;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->shape = make_shape(onnx, ndim, sizes);
    type->tensor_type = tensor;
    value->name = copy(onnx, name);
    value->type = type;
    return value;
}

void ps_onnx_input(struct ps_onnx *onnx, const char *name, int ndim, const int64_t *shape)
{
    append(onnx, &onnx->graph.input, &onnx->graph.n_input, &onnx->input_capacity,
           make_value(onnx, name, ndim, shape));
}

void ps_onnx_output(struct ps_onnx *onnx, const char *name, int ndim, const int64_t *shape)
{
    append(onnx, &onnx->graph.output, &onnx->graph.n_output, &onnx->output_capacity,
           make_value(onnx, name, ndim, shape));
}

struct sink {
    ProtobufCBuffer base;
    FILE *stream;
};

/* Write errors are sticky in the stream and detected on commit. */
static void to_stream(ProtobufCBuffer *buffer, size_t length, const uint8_t *data)
{
    fwrite(data, 1, length, ((struct sink *)buffer)->stream);
}

int ps_onnx_write(struct ps_onnx *onnx, FILE *stream)
{
    if (onnx->rc)
        return onnx->rc;
    if (onnx__model_proto__get_packed_size(&onnx->model) > INT32_MAX)
        return ps_fail(PS_ENOTSUP, "an ONNX file cannot hold more than 2 GiB");
    struct sink sink = {.base = {.append = to_stream}, .stream = stream};
    onnx__model_proto__pack_to_buffer(&onnx->model, &sink.base);
    return ferror(stream) ? ps_fail(PS_EIO, "cannot write the ONNX file") : PS_OK;
}
