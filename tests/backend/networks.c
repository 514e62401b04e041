/*
 * No convolution of any network runs on oneDNN's reference loops, which are a thousand times slower
 * than its kernels: small maps and large ones, training and inference.
 */
#include "base/log.h"
#include "kernels/levels.h"
#include "net/net.h"
#include "net/profile.h"
#include "tests/backend/asserts.h"

static void check(const char *backbone, int size, bool freeze_bn, enum ps_mode mode)
{
    ps_backend *be = open_backend(ps_backend_cpu(), PS_PRECISION_FP32, NULL);
    assert_non_null(be);
    if (strncmp(be->ops->describe(be), "emulated", 8) == 0) {
        be->ops->close(be);
        skip(); /* the layout is AVX-512's, but oneDNN's instruction set is this machine's */
    }
    assert_int_equal(ps_profile_start(be), 0);
    struct ps_net_spec spec = {
        .dim = 8, .size = size, .freeze_bn = freeze_bn, .input = ps_net_default_input(backbone)};
    snprintf(spec.backbone, sizeof spec.backbone, "%s", backbone);
    ps_net *net = ps_net_new(be, &spec, 0);
    assert_non_null(net);
    assert_int_equal(ps_net_init(net, 1), 0);
    uint8_t *images = calloc(2, (size_t)size * (size_t)size * 3);
    struct ps_mat embedding;
    struct ps_text text = {0};
    assert_int_equal(ps_net_forward(net, mode, images, 2, &embedding), 0);
    assert_int_equal(ps_profile_report(&text, 2, 1), 0);
    assert_non_null(strstr(text.data, "conv"));
    if (strstr(text.data, "ref"))
        fail_msg("%s at %d:\n%s", backbone, size, text.data);
    free(text.data);
    free(images);
    ps_net_free(net);
    ps_profile_stop();
    be->ops->close(be);
}

static void test_small_maps(void **state)
{
    (void)state;
    for (size_t i = 0; ps_net_backbone(i); i++)
        for (int mode = PS_INFER; mode <= PS_TRAIN; mode++)
            check(ps_net_backbone(i), 33, true, mode);
    check("resnet18", 64, true, PS_TRAIN);
    check("resnet18", 64, false, PS_TRAIN);
    check("bninception", 64, false, PS_TRAIN);
}

static void test_large_maps(void **state)
{
    (void)state;
    check("resnet50", 224, true, PS_TRAIN);
    check("bninception", 224, true, PS_TRAIN);
    check("bninception", 224, true, PS_INFER);
}

int main(void)
{
    ps_log_level(PS_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_maps),
        cmocka_unit_test(test_large_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
