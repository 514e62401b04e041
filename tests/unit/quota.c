/* Quotas of control groups, of both versions, wherever in the hierarchy they are set. */
#include "base/file.h"
#include "base/mem.h"
#include "base/quota.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/ps-quota-XXXXXX";

static void put(const char *path, const char *text)
{
    char *whole = ps_asprintf("%s%s", root, path);
    for (char *slash = whole + sizeof root; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        mkdir(whole, 0777);
    }
    assert_int_equal(ps_file_write(whole, text, strlen(text)), 0);
    free(whole);
}

static void test_none(void **state)
{
    (void)state;
    assert_true(isinf(ps_cpu_quota("/nowhere")));
    put("/proc/self/cgroup", "0::/\n");
    assert_true(isinf(ps_cpu_quota(root)));
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    assert_true(isinf(ps_cpu_quota(root)));
    put("/proc/self/cgroup", "no colons\n7:\n");
    assert_true(isinf(ps_cpu_quota(root)));
}

static void test_unified(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/lab/user\n");
    put("/sys/fs/cgroup/lab/user/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/lab/cpu.max", "150000 100000\n");
    assert_true(ps_cpu_quota(root) == 1.5);
    put("/sys/fs/cgroup/lab/user/cpu.max", "50000 100000\n");
    assert_true(ps_cpu_quota(root) == 0.5);
    put("/sys/fs/cgroup/cpu.max", "25000 100000\n"); /* as a container sees its own */
    assert_true(ps_cpu_quota(root) == 0.25);
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
}

static void test_version_1(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "3:memory:/x\n4:cpu,cpuacct:/box\n0::/\n");
    put("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
    assert_true(isinf(ps_cpu_quota(root)));
    put("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "300000\n");
    assert_true(ps_cpu_quota(root) == 3);
}

static int begin(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    char *command = ps_asprintf("rm -rf '%s'", root);
    int status = system(command);
    free(command);
    return status;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_unified),
        cmocka_unit_test(test_version_1),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
