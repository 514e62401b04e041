/* lib/train/tuning: choices that make a network slower than the rule's do not last. */
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "net/device.h"
#include "net/profile.h"
#include "train/tuning.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BATCH = 2, SIDE = 32, FAMILIES = 4, VARIANTS = 12 };

static char root[256], dir[300], cache[300];
static struct ps_tuned_network network = {.spec = {.backbone = "resnet18",
                                                   .dim = 8,
                                                   .size = SIDE,
                                                   .freeze_bn = true,
                                                   .input = {.range = 255, .std = {1, 1, 1}}},
                                          .micro_batches = 1,
                                          .passes = 1,
                                          .pass = {{PS_TRAIN, BATCH, 1}}};
static struct ps_backend_config config = {.threads = 1, .cache = cache};

static int make_folders(void **state)
{
    (void)state;
    ps_log_level(PS_LOG_WARN);
    const char *parent = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/tuning-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(root))
        return -1;
    snprintf(dir, sizeof dir, "%s/dir", root);
    snprintf(cache, sizeof cache, "%s/cache", root);
    return ps_make_folder(dir) || ps_make_folder(cache) ? -1 : 0;
}

static ps_backend *open_device(void)
{
    ps_backend *be = ps_device_open("cpu", &config);
    assert_non_null(be);
    return be;
}

/* Runs the network once; text gets what its operators are computed by. */
static void run_network(ps_backend *be, struct ps_text *text)
{
    assert_int_equal(ps_profile_start(be), PS_OK);
    ps_net *net = ps_net_new(be, &network.spec, 0);
    assert_non_null(net);
    uint8_t *images = calloc(BATCH, 3 * SIDE * SIDE);
    struct ps_mat x;
    assert_int_equal(ps_net_init(net, 1), PS_OK);
    assert_int_equal(ps_net_forward(net, PS_TRAIN, images, BATCH, &x), PS_OK);
    assert_int_equal(ps_profile_report(text, BATCH, 1), PS_OK);
    free(images);
    ps_net_free(net);
    ps_profile_stop();
}

static char *read_table(const char *path)
{
    void *bytes;
    size_t length;
    assert_int_equal(ps_file_read(path, 1 << 20, &bytes, &length), PS_OK);
    return bytes;
}

/* A table with the choice replaced in each forward line. */
static void plant(struct ps_text *out, const char *table, int family, int variant)
{
    for (const char *end; (end = strchr(table, '\n')); table = end + 1) {
        const char *tab = strchr(table, '\t');
        assert_true(tab && tab < end);
        if (strncmp(table, "forward ", 8) == 0)
            ps_text_printf(out, "%.*s\toneDNN\t%d\t%d\tref:any\tplanted\n", (int)(tab - table),
                           table, family, variant);
        else
            ps_text_add(out, table, (size_t)(end + 1 - table));
    }
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        n++;
    return n;
}

/* Plants oneDNN's reference implementation wherever it can be; false if it cannot. */
static bool plant_slow(const char *path, struct ps_text *slow)
{
    char *table = read_table(path);
    bool found = false;
    for (int i = VARIANTS; i < FAMILIES * VARIANTS && !found;
         i++) { /* family 0 has one: the best */
        struct ps_text used = {0};
        ps_text_free(slow);
        plant(slow, table, i / VARIANTS, i % VARIANTS);
        assert_int_equal(ps_file_write(path, slow->data, slow->length), PS_OK);
        ps_backend *be = open_device();
        run_network(be, &used);
        ps_device_close(be);
        found = strstr(used.data, "ref:any");
        ps_text_free(&used);
    }
    free(table);
    return found;
}

static void test_slow_choices(void **state)
{
    (void)state;
    ps_backend *be = open_device();
    char *path = strdup(be->choices), *shared = ps_path_join(dir, ps_path_base(path));
    char *copy = ps_asprintf("%s.discarded", path);
    struct ps_text ignored = {0}, slow = {0};
    run_network(be, &ignored); /* measures */
    ps_device_close(be);
    ps_text_free(&ignored);
    if (!plant_slow(path, &slow))
        skip();
    assert_int_equal(ps_file_write(shared, slow.data, slow.length), PS_OK);

    be = open_device();
    assert_int_equal(ps_tuning_check(&be, "cpu", &config, &network, dir), PS_OK);
    char *here = read_table(path), *there = read_table(shared), *gone = read_table(copy);
    assert_null(strstr(here, "planted"));
    assert_null(strstr(there, "planted"));
    assert_non_null(gone);
    bool measured = strstr(here, "\tmeasured\t");
    assert_int_equal(count(here, "network fp32 resnet18 32 dim 8 frozen train 2/1\t"), 1);
    assert_true(measured || strstr(here, "\trule\t"));
    assert_int_equal(measured, be->choices != NULL);
    ps_device_close(be);
    free(here);
    free(there);
    free(gone);

    /* With a verdict nothing is compared any more, however slow it is. */
    static const char key[] = "network fp32 resnet18 32 dim 8 frozen train 2/1\tmeasured\t-\n";
    struct ps_text judged = {0};
    ps_text_add(&judged, slow.data, slow.length);
    ps_text_add(&judged, key, strlen(key));
    assert_int_equal(ps_file_write(path, judged.data, judged.length), PS_OK);
    be = open_device();
    assert_int_equal(ps_tuning_check(&be, "cpu", &config, &network, dir), PS_OK);
    assert_non_null(be->choices);
    ps_device_close(be);
    here = read_table(path);
    assert_string_equal(here, judged.data);
    free(here);
    memcpy(strstr(judged.data, "\tmeasured\t"), "\trule\t    ", 10);
    assert_int_equal(ps_file_write(path, judged.data, judged.length), PS_OK);
    be = open_device();
    assert_int_equal(ps_tuning_check(&be, "cpu", &config, &network, dir), PS_OK);
    assert_null(be->choices);
    ps_device_close(be);
    ps_text_free(&judged);
    ps_text_free(&slow);
    free(path);
    free(shared);
    free(copy);
}

static int remove_folders(void **state)
{
    (void)state;
    char *command = ps_asprintf("rm -r '%s'", root);
    int rc = command ? system(command) : -1; /* NOLINT(cert-env33-c): a name that mkdtemp made */
    free(command);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_slow_choices)};
    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
