/*
 * What this machine can do at most, for the bounds of other numbers: float32 multiply-adds in
 * registers, one core and all at once, and reading from L2 and L3 (one core) and memory (all
 * cores). Prints one line "name<TAB>unit<TAB>value" each. A level of caches that the system does
 * not tell the size of is left out.
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* CHAINS hide the latency of a multiply-add, or of an addition to a sum of what is read. */
enum { CHAINS = 12, REPEATS = 7 };
/* Some systems tell the size of an L3 that is shared with other machines. */
enum { MOST_CACHED = 1 << 23 };

struct isa {
    const char *name;
    double flops; /* of one round of multiply() */
    void (*multiply)(long rounds);
    float (*read)(const float *from, size_t count); /* count: a multiple of 16 CHAINS */
};

static volatile float sink;

/* An attribute takes no parentheses. NOLINTBEGIN(bugprone-macro-parentheses) */
#define DEFINE(prefix, width, attribute, FMA)                                                      \
    typedef float prefix##_vec __attribute__((vector_size(4 * (width))));                          \
    attribute static void prefix##_multiply(long rounds)                                           \
    {                                                                                              \
        prefix##_vec sum[CHAINS], x = (prefix##_vec){0} + 0.999F, y = (prefix##_vec){0} + 0.001F;  \
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sum[i] = y * (float)i;           \
        for (long r = 0; r < rounds; r++)                                                          \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sum[i] =                     \
                (prefix##_vec)FMA(sum[i], x, y);                                                   \
        for (int i = 1; i < CHAINS; i++)                                                           \
            sum[0] += sum[i];                                                                      \
        sink = sum[0][0];                                                                          \
    }                                                                                              \
    attribute static float prefix##_read(const float *from, size_t count)                          \
    {                                                                                              \
        prefix##_vec sum[CHAINS] = {{0}};                                                          \
        for (size_t at = 0; at < count; at += (size_t)CHAINS * (width))                            \
            _Pragma("GCC unroll 12") for (size_t i = 0; i < CHAINS; i++) sum[i] +=                 \
                *(const prefix##_vec *)(from + at + i * (width));                                  \
        for (int i = 1; i < CHAINS; i++)                                                           \
            sum[0] += sum[i];                                                                      \
        return sum[0][0];                                                                          \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

#define MULTIPLY_ADD(a, x, y) ((a) * (x) + (y))
DEFINE(plain, 4, , MULTIPLY_ADD)
#ifdef __x86_64__
DEFINE(avx2, 8, __attribute__((target("avx2,fma"))), _mm256_fmadd_ps)
DEFINE(avx512, 16, __attribute__((target("avx512f"))), _mm512_fmadd_ps)
#endif

static const struct isa *widest(void)
{
#ifdef __x86_64__
    static const struct isa avx512 = {"AVX-512", 2 * CHAINS * 16, avx512_multiply, avx512_read};
    static const struct isa avx2 = {"AVX2", 2 * CHAINS * 8, avx2_multiply, avx2_read};
    if (__builtin_cpu_supports("avx512f"))
        return &avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &avx2;
#endif
    static const struct isa plain = {"4 lanes", 2 * CHAINS * 4, plain_multiply, plain_read};
    return &plain;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* GFLOP/s of all of `threads` together, at best. */
static double peak(const struct isa *isa, int threads)
{
    enum { ROUNDS = 10000000 };
    double best = 0;
    for (int r = 0; r < REPEATS; r++) {
        double start = seconds();
#pragma omp parallel num_threads(threads)
        isa->multiply(ROUNDS);
        double rate = threads * isa->flops * ROUNDS / (seconds() - start) / 1e9;
        best = rate > best ? rate : best;
    }
    return best;
}

/* GB/s of `threads` that each read `bytes` of their own again and again, at best; 0: no memory. */
static double read_rate(const struct isa *isa, size_t bytes, int threads)
{
    enum { TOTAL = 1 << 30 };
    size_t step = (size_t)CHAINS * 16, each = bytes / sizeof(float) / step * step;
    size_t passes = TOTAL / bytes + 1;
    float *data = aligned_alloc(64, each * (size_t)threads * sizeof *data);
    double best = 0;
    for (int r = 0; data && r < REPEATS; r++) {
        double start = 0;
#pragma omp parallel num_threads(threads)
        {
            float *own = data + (size_t)omp_get_thread_num() * each, sum = 0;
            for (size_t i = 0; r == 0 && i < each; i++)
                own[i] = 1;
#pragma omp barrier
#pragma omp single
            start = seconds();
            for (size_t p = 0; p < passes; p++)
                sum += isa->read(own, each);
            sink = sum;
        }
        double all = (double)(passes * each * sizeof *data) * threads;
        double rate = all / (seconds() - start) / 1e9;
        best = rate > best ? rate : best;
    }
    free(data);
    return best;
}

static void print_cache(const struct isa *isa, const char *name, long size)
{
    if (size > 0)
        printf("read %s, %ld KiB, one core\tGB/s\t%.0f\n", name, size / 1024,
               read_rate(isa, size / 2 < MOST_CACHED ? (size_t)size / 2 : MOST_CACHED, 1));
}

int main(void)
{
    enum { MEMORY = 1 << 28 };
    const struct isa *isa = widest();
    int threads = omp_get_max_threads();
    printf("float32 peak, %s, one core\tGFLOP/s\t%.0f\n", isa->name, peak(isa, 1));
    printf("float32 peak, %s, %d threads\tGFLOP/s\t%.0f\n", isa->name, threads, peak(isa, threads));
    print_cache(isa, "L2", sysconf(_SC_LEVEL2_CACHE_SIZE));
    print_cache(isa, "L3", sysconf(_SC_LEVEL3_CACHE_SIZE));
    printf("read memory, %d threads\tGB/s\t%.0f\n", threads, read_rate(isa, MEMORY, threads));
    return 0;
}
