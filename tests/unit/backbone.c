/* The backbones as graphs: shapes, counts of parameters, sizes, and what is refused. */
#include "base/err.h"
#include "base/log.h"
#include "net/backbone.h"
#include "net/simplify.h"
#include "kernels/levels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { DIM = 8 };

static struct ps_net_spec spec_of(const char *backbone, int size, bool freeze_bn)
{
    struct ps_net_spec spec = {.dim = DIM, .size = size, .freeze_bn = freeze_bn};
    snprintf(spec.backbone, sizeof spec.backbone, "%s", backbone);
    spec.input = ps_net_default_input(backbone);
    return spec;
}

/* The graph at some size: channels and side of the last map, nodes after fusion, parameters of the
 * backbone, averages of 3 x 3 and concatenations. */
static void check_shape(const char *backbone, int size, int channels, int side, size_t nodes,
                        size_t nodes_batch, size_t count, size_t spared)
{
    struct ps_net_spec spec = spec_of(backbone, size, true);
    struct ps_params params = {0};
    struct ps_graph graph, simple;
    assert_int_equal(ps_backbone_network(&graph, &params, &spec, 7), PS_OK);
    const struct ps_graph_node *global = &graph.nodes[graph.node_count - 2];
    struct ps_shape map = graph.values[global->in[0]];
    assert_int_equal(map.c, channels);
    assert_int_equal(map.h, side);
    assert_int_equal(map.w, side);
    size_t offset, found;
    ps_params_group_range(&params, PS_GROUP_BACKBONE, &offset, &found);
    assert_int_equal(offset, 0);
    assert_int_equal(found, count);
    ps_params_group_range(&params, PS_GROUP_EMBEDDING, &offset, &found);
    assert_int_equal(offset, count);
    assert_int_equal(found, (channels + 1) * DIM);
    ps_params_group_range(&params, PS_GROUP_PROXY, &offset, &found);
    assert_int_equal(offset + found, params.size);
    assert_int_equal(found, 7 * DIM);
    for (int batch = 0; batch < 2; batch++) {
        for (int places = 0; places < 2; places++) {
            const struct ps_backend_ops *ops = places ? ps_backend_cpu() : NULL;
            assert_int_equal(ps_graph_simplify(&simple, &graph, batch, ops), PS_OK);
            assert_int_equal(simple.node_count + (places ? spared : 0),
                             batch ? nodes_batch : nodes);
            ps_graph_free(&simple);
        }
    }
    ps_graph_free(&graph);
    ps_params_free(&params);
}

/* Counts of parameters are torchvision's, and the published BN-Inception's, less the classifier. */
static void test_shapes(void **state)
{
    (void)state;
    check_shape("resnet18", 224, 512, 7, 20 + 3, 40 + 3, 11176512, 0);
    check_shape("resnet18", 65, 512, 3, 20 + 3, 40 + 3, 11176512, 0);
    check_shape("resnet34", 64, 512, 2, 36 + 3, 72 + 3, 21284672, 0);
    check_shape("resnet50", 224, 2048, 7, 53 + 3, 106 + 3, 23508032, 0);
    check_shape("resnet101", 512, 2048, 16, 104 + 3, 208 + 3, 42500160, 0);
    check_shape("bninception", 224, 1024, 7, 69 + 24, 138 + 24, 10270240, 7 + 10);
    check_shape("efficientnet-lite0", 224, 1280, 7, 49 + 2, 98 + 2, 3371008, 0);
    check_shape("efficientnet-lite1", 240, 1280, 8, 64 + 2, 128 + 2, 4135680, 0);
    check_shape("efficientnet-lite2", 260, 1280, 9, 64 + 2, 128 + 2, 4811072, 0);
}

/* Any size in between gives maps that fit together; the halving blocks round up. */
static void test_every_size(void **state)
{
    (void)state;
    for (int size = 32; size <= 512; size++) {
        static const char *const backbones[] = {"resnet18", "bninception", "efficientnet-lite0"};
        for (int i = 0; i < 3; i++) {
            struct ps_net_spec spec = spec_of(backbones[i], size, true);
            struct ps_params params = {0};
            struct ps_graph graph;
            assert_int_equal(ps_backbone_network(&graph, &params, &spec, 0), PS_OK);
            ps_graph_free(&graph);
            ps_params_free(&params);
        }
    }
}

static void test_spec_errors(void **state)
{
    (void)state;
    struct ps_net_spec spec = spec_of("resnet19", 64, true);
    assert_null(ps_net_new(NULL, &spec, 0));
    char message[1024];
    snprintf(message, sizeof message, "backbone 'resnet19' is not one of %s", ps_net_backbones);
    assert_string_equal(ps_error(), message);
    spec = spec_of("resnet18", 31, true);
    assert_null(ps_net_new(NULL, &spec, 0));
    spec = spec_of("resnet18", 64, true);
    spec.dim = -1;
    assert_null(ps_net_new(NULL, &spec, 0));
    assert_true(ps_net_has_backbone("resnet101"));
    assert_false(ps_net_has_backbone("resnet"));
}

int main(void)
{
    ps_log_level(PS_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_spec_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
