/* Kernels that are wrong on purpose: cuda-emu or the sanitizers must end the program. */
#ifndef PS_TESTS_CUDA_EMU_WRONG_H
#define PS_TESTS_CUDA_EMU_WRONG_H

#ifdef __cplusplus
extern "C" {
#endif

enum ps_wrong {
    PS_WRONG_NOTHING, /* no fault */
    PS_WRONG_BARRIER, /* one thread leaves before a barrier */
    PS_WRONG_SHUFFLE, /* one lane of a warp takes no part in a shuffle */
    PS_WRONG_SHARED,  /* a write past the end of shared memory */
    PS_WRONG_GLOBAL,  /* a read past the end of x */
    PS_WRONG_COUNT
};

/* x, y (64) */
void ps_run_wrong(enum ps_wrong fault, const float *x, float *y);

#ifdef __cplusplus
}
#endif

#endif
