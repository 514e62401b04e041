/* lib/weights/onnx, lib/net/{onnx_export,fit}: a model written for others, read back. */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/backbone.h"
#include "net/fit.h"
#include "net/modelmeta.h"
#include "net/onnx_export.h"
#include "weights/onnx.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { DIM = 8, SIZE = 32, CLASSES = 5, RESNET18_TENSORS = 100 };

/* A file with the tensors of a network, all pointing to `values` (NULL: no data). */
static void make_file(struct ps_safetensors *file, const char *backbone, const float *values)
{
    struct ps_net_spec spec = {.dim = DIM, .size = SIZE};
    snprintf(spec.backbone, sizeof spec.backbone, "%s", backbone);
    struct ps_params params = {0};
    struct ps_graph graph;
    assert_int_equal(ps_backbone_network(&graph, &params, &spec, CLASSES), 0);
    *file = (struct ps_safetensors){.name = strdup("t")};
    file->tensors = ps_calloc(params.count, sizeof *file->tensors);
    for (size_t i = 0; i < params.count; i++) {
        const struct ps_param *param = &params.list[i];
        struct ps_tensor *tensor = &file->tensors[file->count++];
        *tensor = (struct ps_tensor){.name = strdup(param->name),
                                     .ndim = param->ndim,
                                     .dtype = PS_F32,
                                     .count = param->count,
                                     .data = values};
        memcpy(tensor->shape, param->shape, sizeof param->shape);
    }
    ps_graph_free(&graph);
    ps_params_free(&params);
}

static struct ps_tensor *named(struct ps_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (!strcmp(file->tensors[i].name, name))
            return &file->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static void test_fit(void **state)
{
    (void)state;
    static const char *const names[] = {"bninception", "resnet18", "resnet34", "resnet50",
                                        "resnet101"};
    struct ps_safetensors file;
    struct ps_fit fit;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        make_file(&file, names[i], NULL);
        assert_string_equal(ps_fit_backbone(&file), names[i]);
        assert_int_equal(ps_fit_file(&fit, &file, names[i], false), 0);
        assert_true(fit.complete);
        assert_int_equal(fit.dim, DIM);
        assert_int_equal(fit.matched, file.count);
        assert_int_equal(fit.missing_count + fit.unused_count, 0);
        ps_fit_free(&fit);
        ps_safetensors_close(&file);
    }
    make_file(&file, "resnet18", NULL);
    named(&file, "embedding.weight")->name[0] = 'E';
    named(&file, "embedding.bias")->name[0] = 'E';
    assert_string_equal(ps_fit_backbone(&file), "resnet18");
    assert_int_equal(ps_fit_file(&fit, &file, "resnet18", false), 0);
    assert_false(fit.complete);
    assert_int_equal(fit.matched, RESNET18_TENSORS);
    assert_int_equal(fit.missing_count, 2);
    assert_string_equal(fit.missing[0], "embedding.weight");
    assert_int_equal(fit.unused_count, 3);
    assert_string_equal(fit.unused[0], "Embedding.weight");
    ps_fit_free(&fit);
    named(&file, "layer2.0.bn1.bias")->shape[0]++;
    assert_null(ps_fit_backbone(&file));
    assert_int_equal(ps_fit_file(&fit, &file, "resnet18", false), PS_EMISMATCH);
    assert_non_null(strstr(ps_error(), "layer2.0.bn1.bias"));
    ps_safetensors_close(&file);
}

/* Puts a prefix before the names of the tensors from..from+count. */
static void prefix(struct ps_safetensors *file, size_t from, size_t count, const char *text)
{
    for (size_t i = from; i < from + count; i++) {
        char *name = ps_asprintf("%s%s", text, file->tensors[i].name);
        free(file->tensors[i].name);
        file->tensors[i].name = name;
    }
}

static void test_prefixes(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"backbone.", "trunk.", "net.encoder.", "features.0.1."};
    struct ps_safetensors file, second;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        make_file(&file, "resnet18", NULL);
        prefix(&file, 0, file.count, prefixes[i]);
        assert_null(ps_fit_backbone(&file));
        assert_int_equal(ps_fit_strip(&file, i % 2 ? "resnet18" : NULL, NULL), 0);
        assert_string_equal(ps_fit_backbone(&file), "resnet18");
        assert_non_null(named(&file, "embedding.weight"));
        assert_int_equal(ps_fit_strip(&file, NULL, NULL), 0); /* nothing left to do */
        assert_int_equal(ps_fit_strip(&file, NULL, "x."), PS_EMISMATCH);
        ps_safetensors_close(&file);
    }

    /* Two networks in a file, as momentum contrast has. */
    make_file(&file, "resnet18", NULL);
    make_file(&second, "resnet18", NULL);
    prefix(&file, 0, file.count, "encoder_q.");
    prefix(&second, 0, second.count, "encoder_k.");
    file.tensors = realloc(file.tensors, 2 * file.count * sizeof *file.tensors);
    memcpy(file.tensors + file.count, second.tensors, second.count * sizeof *second.tensors);
    file.count += second.count;
    second.count = 0;
    assert_int_equal(ps_fit_strip(&file, NULL, NULL), PS_EMISMATCH);
    assert_non_null(strstr(ps_error(), "encoder_q. as with encoder_k.: choose one"));
    assert_int_equal(ps_fit_strip(&file, NULL, "encoder_k."), 0);
    assert_string_equal(ps_fit_backbone(&file), "resnet18");
    ps_safetensors_close(&file);
    ps_safetensors_close(&second);
}

/* Blocks left over are of a deeper network; heads are not. */
static void test_leftovers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool fits;
    } cases[] = {{"fc.weight", true},
                 {"projector.0.weight", true},
                 {"layer1.0.bn1.num_batches_tracked", true},
                 {"layer1.0.total_ops", true},
                 {"layer3.6.conv1.weight", false},
                 {"layer5.0.conv1.weight", false},
                 {"layer1.0.se.fc1.weight", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ps_safetensors file;
        make_file(&file, "resnet18", NULL);
        struct ps_tensor *last = &file.tensors[file.count - 1]; /* of the proxies */
        free(last->name);
        last->name = strdup(cases[i].name);
        assert_int_equal(ps_fit_backbone(&file) != NULL, cases[i].fits);
        ps_safetensors_close(&file);
    }
}

static char path[] = "/tmp/ps-onnx-XXXXXX";
static struct ps_model model;

/* A model of ResNet-18 whose parameters are all positive, as variances must be. */
static int write_model(void **state)
{
    (void)state;
    struct ps_net_spec spec = {.backbone = "resnet18",
                               .dim = DIM,
                               .size = SIZE,
                               .input = ps_net_default_input("resnet18")};
    struct ps_model_meta meta;
    ps_model_meta_write(&meta, &spec, SIZE);
    enum { LARGEST = 512 * 512 * 9 };
    float *values = ps_calloc(LARGEST, sizeof *values);
    for (int i = 0; i < LARGEST; i++)
        values[i] = 0.5F + (float)(i % 101) / 101;
    struct ps_safetensors file;
    make_file(&file, spec.backbone, values);
    close(mkstemp(path));
    int rc = ps_safetensors_save(path, file.tensors, file.count, meta.pairs, meta.count);
    ps_safetensors_close(&file);
    free(values);
    return rc ? rc : ps_model_open(&model, path);
}

static int remove_model(void **state)
{
    (void)state;
    ps_model_close(&model);
    return unlink(path);
}

static Onnx__ModelProto *export_model(void)
{
    char *bytes = NULL;
    size_t length;
    FILE *stream = open_memstream(&bytes, &length);
    assert_int_equal(ps_onnx_export(stream, &model), 0);
    fclose(stream);
    Onnx__ModelProto *made = onnx__model_proto__unpack(NULL, length, (uint8_t *)bytes);
    free(bytes);
    assert_non_null(made);
    return made;
}

static const Onnx__TensorProto *constant(const Onnx__GraphProto *graph, const char *name)
{
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (!strcmp(graph->initializer[i]->name, name))
            return graph->initializer[i];
    return NULL;
}

/* Is the name an input, a constant, or made by one of the first `nodes` nodes? */
static bool is_defined(const Onnx__GraphProto *graph, size_t nodes, const char *name)
{
    for (size_t i = 0; i < nodes; i++)
        if (!strcmp(graph->node[i]->output[0], name))
            return true;
    return !strcmp(graph->input[0]->name, name) || constant(graph, name);
}

static void test_onnx_structure(void **state)
{
    (void)state;
    Onnx__ModelProto *made = export_model();
    assert_int_equal(made->n_opset_import, 1);
    assert_true(made->opset_import[0]->version >= 13);
    const Onnx__GraphProto *graph = made->graph;
    assert_int_equal(graph->n_input, 1);
    const Onnx__TensorShapeProto *shape = graph->input[0]->type->tensor_type->shape;
    assert_int_equal(shape->n_dim, 4);
    assert_string_equal(shape->dim[0]->dim_param, "N");
    assert_int_equal(shape->dim[1]->dim_value, 3);
    assert_int_equal(shape->dim[3]->dim_value, SIZE);
    size_t convolutions = 0;
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        convolutions += !strcmp(node->op_type, "Conv");
        assert_string_not_equal(node->op_type, "BatchNormalization");
        assert_false(is_defined(graph, i, node->output[0]));
        if (!strcmp(node->op_type, "Gemm")) {
            assert_string_equal(node->attribute[0]->name, "transB");
            assert_int_equal(node->attribute[0]->i, 1);
        }
        for (size_t k = 0; k < node->n_input; k++)
            assert_true(is_defined(graph, i, node->input[k]));
    }
    assert_int_equal(convolutions, 20);
    assert_true(is_defined(graph, graph->n_node, "embedding"));
    assert_null(constant(graph, "proxy.weight"));
    bool described = false;
    for (size_t i = 0; i < made->n_metadata_props; i++)
        described |= !strcmp(made->metadata_props[i]->key, "channels") &&
                     !strcmp(made->metadata_props[i]->value, "rgb");
    assert_true(described);
    onnx__model_proto__free_unpacked(made, NULL);
}

static void test_onnx_folding(void **state)
{
    (void)state;
    Onnx__ModelProto *made = export_model();
    const Onnx__TensorProto *weight = constant(made->graph, "conv1.weight");
    const Onnx__TensorProto *bias = constant(made->graph, "conv1.bias");
    assert_int_equal(weight->n_dims, 4);
    assert_int_equal(weight->dims[0], 64);
    enum { PER = 3 * 7 * 7 };
    assert_int_equal(weight->raw_data.len, 64 * PER * sizeof(float));
    float w[64 * PER], b[64];
    memcpy(w, weight->raw_data.data, sizeof w);
    memcpy(b, bias->raw_data.data, sizeof b);
    for (int c = 0; c < 64; c++) {
        double x = 0.5F + (float)c / 101; /* gamma, beta, mean and var alike */
        double scale = x / sqrt(x + 1e-5);
        assert_float_equal(b[c], x - x * scale, 1e-6);
        double first = 0.5F + (float)(c * PER % 101) / 101;
        assert_float_equal(w[c * PER], first * scale, 1e-6);
    }
    onnx__model_proto__free_unpacked(made, NULL);
}

static void test_published_names(void **state)
{
    (void)state;
    char out[] = "/tmp/ps-onnx-XXXXXX";
    close(mkstemp(out));
    assert_int_equal(ps_published_save(out, &model), 0);
    struct ps_safetensors file;
    assert_int_equal(ps_safetensors_open(&file, out), 0);
    assert_int_equal(file.count, RESNET18_TENSORS);
    assert_non_null(ps_safetensors_find(&file, "layer4.1.bn2.running_var"));
    assert_null(ps_safetensors_find(&file, "embedding.weight"));
    assert_string_equal(ps_fit_backbone(&file), "resnet18");
    ps_safetensors_close(&file);
    unlink(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fit),          cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_leftovers),    cmocka_unit_test(test_onnx_structure),
        cmocka_unit_test(test_onnx_folding), cmocka_unit_test(test_published_names),
    };
    return cmocka_run_group_tests(tests, write_model, remove_model);
}
