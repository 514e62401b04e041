/* An upper bound on ResNet-50's images per second: its convolutions, each timed alone. */
#ifndef PS_TESTS_BACKEND_STACK_H
#define PS_TESTS_BACKEND_STACK_H

#include "tests/backend/perf.h"

/* At 224x224, with torchvision's strides. */
static const struct {
    int in, size, out, kernel, stride, count;
} resnet50[] = {
    {3, 224, 64, 7, 2, 1},    {64, 56, 64, 1, 1, 1},     {64, 56, 64, 3, 1, 3},
    {64, 56, 256, 1, 1, 4},   {256, 56, 64, 1, 1, 2},    {256, 56, 128, 1, 1, 1},
    {128, 56, 128, 3, 2, 1},  {128, 28, 128, 3, 1, 3},   {128, 28, 512, 1, 1, 4},
    {512, 28, 128, 1, 1, 3},  {256, 56, 512, 1, 2, 1},   {512, 28, 256, 1, 1, 1},
    {256, 28, 256, 3, 2, 1},  {256, 14, 256, 3, 1, 5},   {256, 14, 1024, 1, 1, 6},
    {1024, 14, 256, 1, 1, 5}, {512, 28, 1024, 1, 2, 1},  {1024, 14, 512, 1, 1, 1},
    {512, 14, 512, 3, 2, 1},  {512, 7, 512, 3, 1, 2},    {512, 7, 2048, 1, 1, 3},
    {2048, 7, 512, 1, 1, 2},  {1024, 14, 2048, 1, 2, 1},
};

static void perf_stack(ps_backend *be, int batch)
{
    double forward = 0, backward = 0, work = 0;
    printf("# %s\n", be->ops->describe(be));
    for (size_t i = 0; i < sizeof resnet50 / sizeof *resnet50; i++) {
        int k = resnet50[i].kernel, count = resnet50[i].count;
        struct op_case c = {.desc = {.op = PS_OP_CONV,
                                     .kernel = k,
                                     .stride = resnet50[i].stride,
                                     .pad = k / 2,
                                     .out_channels = resnet50[i].out,
                                     .relu = true,
                                     .bn = PS_BN_FROZEN,
                                     .bias = PS_ABSENT,
                                     .eps = 1e-5F},
                            .inputs = 1,
                            .in = {{batch, resnet50[i].in, resnet50[i].size, resnet50[i].size}}};
        case_finish(&c);
        struct op_times t = perf_case(be, &c);
        forward += count * t.forward;
        backward += count * t.backward;
        work += count * 2 * (double)shape_count(c.out) * c.in[0].c * k * k;
    }
    printf("ResNet-50's convolutions, batch %d, float32: forward %.0f img/s (%.2f TFLOP/s), "
           "forward and backward %.0f img/s (%.2f TFLOP/s)\n",
           batch, batch / forward, work / forward * 1e-12, batch / (forward + backward),
           3 * work / (forward + backward) * 1e-12);
}

#endif
