/* golden DEVICE FILE...: golden networks and losses on a device (tests/golden/README.md), in TAP,
 * without the packages that tests/backend/golden.c needs. */
#include "base/log.h"
#include "tests/backend/golden_kit.h"
#include "tests/backend/golden_loss.h"
#include "tests/backend/golden_net.h"

int main(int argc, char **argv)
{
    ps_log_level(PS_LOG_WARN);
    only_device = argc > 1 ? argv[1] : "cuda";
    for (int i = 2; i < argc; i++) {
        struct ps_safetensors file;
        if (ps_safetensors_open(&file, argv[i])) {
            printf("# %s\n", ps_error());
            report(false, argv[i], "");
            continue;
        }
        if (ps_safetensors_meta(&file, "backbone"))
            test_net(argv[i], &file);
        else
            test_loss(argv[i], &file);
        ps_safetensors_close(&file);
    }
    printf("1..%d\n", tests);
    return failures || !tests;
}
