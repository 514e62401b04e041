/* lib/weights/{pickle,storages,pth,names}: pickles written here, of tensors and of what lies beside
 * them. */
#include "base/err.h"
#include "base/mem.h"
#include "weights/weightfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A writer of pickles, protocol 2, as far as the tests need one. */
static void put(struct ps_text *out, const char *text)
{
    assert_int_equal(ps_text_add(out, text, strlen(text)), 0);
}

static void put_int(struct ps_text *out, uint64_t value, int size)
{
    for (int i = 0; i < size; i++) {
        char byte = (char)(value >> 8 * i);
        assert_int_equal(ps_text_add(out, &byte, 1), 0);
    }
}

static void put_string(struct ps_text *out, const char *text)
{
    put(out, "X");
    put_int(out, strlen(text), 4);
    put(out, text);
}

/* LONG1 of eight bytes, so that any number can be written. */
static void put_number(struct ps_text *out, int64_t value)
{
    put(out, "\x8a\x08");
    put_int(out, (uint64_t)value, 8);
}

struct test_tensor {
    const char *key;
    int64_t elements, offset, shape[2], strides[2];
    const char *view; /* opcodes of the sixth part of the persistent id */
};

static void put_tensor(struct ps_text *out, struct test_tensor t)
{
    put(out, "ctorch._utils\n_rebuild_tensor\n((");
    put_string(out, "storage");
    put(out, "ctorch\nFloatStorage\n");
    put_string(out, t.key);
    put_string(out, "cpu");
    put_number(out, t.elements);
    put(out, t.view ? t.view : "N");
    put(out, "tQ");
    put_number(out, t.offset);
    put_number(out, t.shape[0]);
    put_number(out, t.shape[1]);
    put(out, "\x86");
    put_number(out, t.strides[0]);
    put_number(out, t.strides[1]);
    put(out, "\x86tR");
}

/* The legacy container around a pickled object, with one storage "0" of floats 0, 1, 2 ... */
static int parse_legacy(struct ps_safetensors *file, const struct ps_text *object, bool little,
                        size_t elements, void **kept)
{
    struct ps_text out = {0};
    put(&out, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
    put(&out, "\x80\x02M\xe9\x03.\x80\x02}");
    put_string(&out, "little_endian");
    put(&out, little ? "\x88s." : "\x89s.");
    put(&out, "\x80\x02");
    assert_int_equal(ps_text_add(&out, object->data, object->length), 0);
    put(&out, ".\x80\x02]");
    if (elements) {
        put_string(&out, "0");
        put(&out, "a.");
        put_int(&out, elements, 8);
    } else {
        put(&out, ".");
    }
    for (size_t i = 0; i < elements; i++) {
        float value = (float)i;
        assert_int_equal(ps_text_add(&out, &value, sizeof value), 0);
    }
    *kept = malloc(out.length);
    memcpy(*kept, out.data, out.length);
    int rc = ps_weightfile_parse(file, "t", *kept, out.length);
    ps_text_free(&out);
    return rc;
}

/* A state_dict with one tensor over the storage of 12 elements. */
static int parse_one(struct test_tensor t, const char *name, struct ps_safetensors *file,
                     void **kept)
{
    struct ps_text object = {0};
    put(&object, "}");
    put_string(&object, name);
    t.key = "0";
    t.elements = 12;
    put_tensor(&object, t);
    put(&object, "s");
    int rc = parse_legacy(file, &object, true, 12, kept);
    ps_text_free(&object);
    return rc;
}

static void test_views(void **state)
{
    (void)state;
    static const struct {
        struct test_tensor tensor;
        int code;
    } cases[] = {
        {{.shape = {3, 4}, .strides = {4, 1}}, 0},
        {{.shape = {4, 3}, .strides = {1, 4}}, 0},
        {{.offset = 2, .shape = {2, 2}, .strides = {6, 3}}, 0},
        {{.offset = 100, .shape = {0, 3}, .strides = {4, 1}}, 0},
        {{.shape = {1, 12}, .strides = {999, 1}}, 0},
        {{.offset = 1, .shape = {3, 4}, .strides = {4, 1}}, PS_EFORMAT},
        {{.offset = 11, .shape = {2, 1}, .strides = {1, 1}}, PS_EFORMAT},
        {{.shape = {100, 1}, .strides = {0, 1}}, PS_EFORMAT},
        {{.offset = -1, .shape = {1, 1}, .strides = {1, 1}}, PS_EFORMAT},
        {{.shape = {-1, 1}, .strides = {1, 1}}, PS_EFORMAT},
        {{.shape = {2, 2}, .strides = {-1, 1}}, PS_EFORMAT},
        {{.shape = {3, 1}, .strides = {INT64_MAX, 1}}, PS_EFORMAT},
        {{.offset = INT64_MAX, .shape = {3, 1}, .strides = {INT64_MAX, 1}}, PS_EFORMAT},
        {{.shape = {INT64_MAX, INT64_MAX}, .strides = {0, 0}}, PS_EFORMAT},
        {{.shape = {2, 2}, .strides = {2, 1}, .view = "(NK\x08K\x04t"}, 0},
        {{.shape = {2, 2}, .strides = {2, 1}, .view = "(NK\x09K\x04t"}, PS_EFORMAT},
        {{.shape = {2, 2}, .strides = {2, 1}, .view = "K\x01"}, PS_EFORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct test_tensor *t = &cases[i].tensor;
        struct ps_safetensors file;
        void *kept;
        int rc = parse_one(*t, "x", &file, &kept);
        if (rc != cases[i].code)
            fail_msg("case %zu: %s", i, ps_error());
        if (!rc) {
            float got[12];
            assert_int_equal(ps_tensor_floats(&file.tensors[0], got), 0);
            int64_t base = t->offset + (t->view ? 8 : 0);
            for (int64_t r = 0; r < t->shape[0]; r++)
                for (int64_t c = 0; c < t->shape[1]; c++)
                    assert_true(got[r * t->shape[1] + c] ==
                                (float)(base + r * t->strides[0] + c * t->strides[1]));
            ps_safetensors_close(&file);
        }
        free(kept);
    }
}

static void test_bn_of_published_bninception(void **state)
{
    (void)state;
    struct ps_safetensors file;
    void *kept;
    const struct test_tensor row = {.shape = {1, 12}, .strides = {12, 1}};
    assert_int_equal(parse_one(row, "model.module.model.conv1_7x7_s2_bn.weight", &file, &kept), 0);
    assert_string_equal(file.tensors[0].name, "conv1_7x7_s2_bn.weight");
    assert_int_equal(file.tensors[0].ndim, 1);
    assert_int_equal(file.tensors[0].shape[0], 12);
    ps_safetensors_close(&file);
    free(kept);
    assert_int_equal(parse_one(row, "last_linear.weight", &file, &kept), 0);
    assert_int_equal(file.tensors[0].ndim, 2);
    ps_safetensors_close(&file);
    free(kept);
}

/* {"epoch", "model_state", "embedding_state", "criterion_state", "acc"}, the last a numpy number.
 */
static void put_reference(struct ps_text *out)
{
    const struct test_tensor t = {.key = "0", .elements = 12, .shape = {3, 4}, .strides = {4, 1}};
    static const char *const parts[][2] = {{"model_state", "model.conv1.weight"},
                                           {"embedding_state", "embedding.weight"},
                                           {"criterion_state", "proxy"}};
    put(out, "}(");
    put_string(out, "epoch");
    put(out, "K\x05");
    for (int i = 0; i < 3; i++) {
        put_string(out, parts[i][0]);
        put(out, "ccollections\nOrderedDict\n)R");
        put_string(out, parts[i][1]);
        put_tensor(out, t);
        put(out, "s}");
        put_string(out, "_metadata");
        put(out, "}sb");
    }
    put_string(out, "acc");
    put(out, "cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x02"
             "f8K\x01K\x02tR(K\x03U\x01<NNNtb");
    put(out, "c_codecs\nencode\n(U\x03"
             "abcU\x06latin1tRtRu");
}

static void test_reference_checkpoint(void **state)
{
    (void)state;
    struct ps_text object = {0};
    put_reference(&object);
    struct ps_safetensors file;
    void *kept;
    if (parse_legacy(&file, &object, true, 12, &kept))
        fail_msg("%s", ps_error());
    static const char *const names[] = {"conv1.weight", "embedding.weight", "proxy.weight"};
    assert_int_equal(file.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(file.tensors[i].name, names[i]);
    ps_safetensors_close(&file);
    free(kept);
    assert_int_equal(parse_legacy(&file, &object, false, 12, &kept), PS_ENOTSUP);
    assert_non_null(strstr(ps_error(), "big-endian"));
    free(kept);
    assert_int_equal(parse_legacy(&file, &object, true, 11, &kept), PS_EFORMAT);
    free(kept);
    assert_int_equal(parse_legacy(&file, &object, true, 0, &kept), PS_EFORMAT);
    free(kept);
    ps_text_free(&object);
}

/* What training scripts save beside the tensors, as opcodes. */
static void test_extras(void **state)
{
    (void)state;
    static const char *const extras[] = {
        "cargparse\nNamespace\n)\x81}U\2lrK\1sb",
        "c__builtin__\nset\n]U\1aa\x85R",
        "ctorch\ndevice\nU\3cpu\x85R",
        "cpathlib\nPosixPath\nU\1xU\1y\x86R",
        "ccollections\nCounter\n}K\1K\2s\x85R",
        "ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RK\1]s",
        "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\7\x85U\1btR(K\1NNtb",
        "c__builtin__\ncomplex\nK\1K\2\x86R",
        "cdatetime\ndatetime\nU\1x\x85R",
        "c__builtin__\ngetattr\ncmy.schedule\nOneCycle\nU\4warm\x86R",
        "cmy.config\nConfig\n)\x81(U\1aK\1U\1bK\2u]U\1xab", /* a subclass of dict */
        "ctorch\nfloat32\n",
        "\x8f(K\1K\2\x90",
        "(K\1K\2\x91",
        "cmy\nThing\n)}\x92",
        ("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_sparse_tensor\ncmy\nT\n)"
         "NtR"),
    };
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
        const struct test_tensor t = {
            .key = "0", .elements = 12, .shape = {3, 4}, .strides = {4, 1}};
        struct ps_text object = {0};
        struct ps_safetensors file;
        void *kept;
        put(&object, "}(");
        put_string(&object, "extra");
        put(&object, extras[i]);
        put_string(&object, "state_dict");
        put(&object, "}");
        put_string(&object, "x");
        put_tensor(&object, t);
        put(&object, "su");
        if (parse_legacy(&file, &object, true, 12, &kept))
            fail_msg("extra %zu: %s", i, ps_error());
        assert_int_equal(file.count, 1);
        ps_safetensors_close(&file);
        free(kept);
        ps_text_free(&object);
    }
}

/* {"teacher": {"x": tensor}} and a pickled module of a module. */
static void test_nested(void **state)
{
    (void)state;
    const struct test_tensor t = {.key = "0", .elements = 12, .shape = {3, 4}, .strides = {4, 1}};
    static const struct {
        const char *before, *after, *name;
    } cases[] = {
        {"}U\7teacher}", "ss", "teacher.x"},
        {"cnn\nNet\n)\x81}U\x08_modules}U\4convcnn\nConv\n)\x81}U\x0b_parameters}", "ssbssb",
         "conv.x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ps_text object = {0};
        struct ps_safetensors file;
        void *kept;
        put(&object, cases[i].before);
        put_string(&object, "x");
        put_tensor(&object, t);
        put(&object, cases[i].after);
        if (parse_legacy(&file, &object, true, 12, &kept))
            fail_msg("case %zu: %s", i, ps_error());
        assert_int_equal(file.count, 1);
        assert_string_equal(file.tensors[0].name, cases[i].name);
        ps_safetensors_close(&file);
        free(kept);
        ps_text_free(&object);
    }
}

static void test_refused_objects(void **state)
{
    (void)state;
    static const struct {
        const char *object, *message;
    } cases[] = {
        {"N", "no state_dict"},
        {"cbuiltins\neval\nU\x01"
         "1\x85R",
         "builtins.eval"},
        {"U\x08"
         "builtinsU\x04"
         "exec\x93)R",
         "builtins.exec"},
        {"cbuiltins\ngetattr\n(cos\npath\nU\x06systemtR)R", "getattr.system"},
        {"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN)tR", "os.system"},
        {"cultralytics.nn\nModel\n)\x81}b", "whole pickled object, ultralytics.nn.Model"},
        {"cos\x1b[31m\nsystem\n)R", "os?[31m.system"},
        {"ctorch\nFloatStorage\n)R", "unknown constructor"},
        {"ccollections\nOrderedDict\nK\x01\x85R", "dictionary items are not pairs"},
        {"i", "opcode 0x69"},
        {"h\x01", "memo 1 is unset"},
        {"(0", "the stack is empty"},
        {"t", "missing mark"},
        {"]K\x01K\x02s", "items for a non-container"},
        {"K\x01"
         "b",
         "the stack is empty"},
        {"K\x01NQ", "not a storage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ps_text object = {0};
        put(&object, cases[i].object);
        struct ps_safetensors file;
        void *kept;
        assert_int_equal(parse_legacy(&file, &object, true, 0, &kept), PS_EFORMAT);
        if (!strstr(ps_error(), cases[i].message))
            fail_msg("%s: %s", cases[i].object, ps_error());
        free(kept);
        ps_text_free(&object);
    }
}

/* Few bytes that ask for much memory must fail early. */
static void test_bombs(void **state)
{
    (void)state;
    struct ps_text object = {0};
    struct ps_safetensors file;
    void *kept;
    put(&object, "(");
    for (int i = 0; i < 1000; i++)
        put(&object, "NNNNNNNNNN");
    put(&object, "tq");
    put_int(&object, 0, 1);
    for (int i = 0; i < 2000; i++) {
        put(&object, "h");
        put_int(&object, 0, 1);
        put(&object, "Q");
    }
    assert_int_equal(parse_legacy(&file, &object, true, 0, &kept), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "items"));
    free(kept);
    object.length = 0;
    put(&object, "Nr");
    put_int(&object, 0xffffffff, 4);
    assert_int_equal(parse_legacy(&file, &object, true, 0, &kept), PS_EFORMAT);
    assert_non_null(strstr(ps_error(), "memo"));
    free(kept);
    ps_text_free(&object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_bn_of_published_bninception),
        cmocka_unit_test(test_reference_checkpoint),
        cmocka_unit_test(test_extras),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_refused_objects),
        cmocka_unit_test(test_bombs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
