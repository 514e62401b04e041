/*
 * 1x1 convolutions without padding, forward and backward-data. Each strip of pixels is prefetched
 * while the one before is computed: where many channels make maps larger than the caches, memory
 * would take most of the time.
 */
#include "kernels/cpu/conv/algorithm.h"

#include <string.h>

/*
 * The accumulators of a strip of pixels and a pair of output blocks stay in registers over a run of
 * input blocks. The inputs of a strip and run stay in L1 for all outputs; the weights of up to
 * MOST_OUTPUTS output blocks stay in L2 for all strips.
 */
enum { STRIP = 14, PAIR = 2, RUN = 8, MOST_OUTPUTS = 32 }; /* RUN, MOST_OUTPUTS: blocks */
enum { LINE = CPU_BLOCK, TILE = CPU_BLOCK * CPU_BLOCK, SUMS = PAIR * STRIP * LINE };
enum { CACHED_WEIGHTS = 256 * 1024 }; /* in L2 */

/*
 * Pixel (i, j) of the smaller map is (i from_step, j from_step) of `from` and (i to_step, j
 * to_step) of the result. Pixels of the result between those are zeroed, or kept if the result is
 * added to in place. One of the steps is 1, the other the stride; with a mask to_step is 1.
 */
struct pass {
    const ps_act *from, *to;
    const float *weights; /* tiles ordered (to, from), each (from, to) */
    struct cpu_epilogue epilogue;
    int from_step, to_step;
};

/* Pixels, as offsets in the first channel block of the input and of the result. */
struct strip {
    size_t from[STRIP], to[STRIP];
    size_t count;                    /* of pixels; the rest repeat the last */
    int rows[STRIP], columns[STRIP]; /* of the result up to the next pixel */
};

static bool supported(const ps_node *node, enum cpu_pass pass)
{
    const struct ps_op_desc *d = &node->desc;
    const ps_act *x = node->in[0], *y = node->out, *to = pass == CPU_FORWARD ? y : x;
    return d->kernel == 1 && d->pad == 0 && x->block == CPU_BLOCK && y->block == CPU_BLOCK &&
           cpu_blocks(to) % PAIR == 0;
}

static inline size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline int at_most(int most, int n)
{
    return n < most ? n : most;
}

static inline size_t pixels_of(const struct pass *p)
{
    struct ps_shape map = p->to_step > 1 ? p->from->shape : p->to->shape;
    return (size_t)map.n * (size_t)map.h * (size_t)map.w;
}

static inline size_t offset_of(const ps_act *act, size_t image, int i, int j)
{
    return cpu_plane(act, image, 0) + ((size_t)i * act->shape.w + (size_t)j) * LINE;
}

static void find_strip(const struct pass *p, size_t index, struct strip *strip)
{
    struct ps_shape map = p->to_step > 1 ? p->from->shape : p->to->shape;
    size_t first = index * STRIP, left = pixels_of(p) - first, area = (size_t)map.h * map.w;
    size_t image = first / area;
    int i = (int)(first % area) / map.w, j = (int)(first % area) % map.w;
    strip->count = least(STRIP, left);
    for (size_t t = 0; t < STRIP; t++) {
        strip->from[t] = offset_of(p->from, image, i * p->from_step, j * p->from_step);
        strip->to[t] = offset_of(p->to, image, i * p->to_step, j * p->to_step);
        strip->rows[t] = at_most(p->to_step, p->to->shape.h - i * p->to_step);
        strip->columns[t] = at_most(p->to_step, p->to->shape.w - j * p->to_step);
        if (t + 1 >= strip->count)
            continue;
        j = j + 1 < map.w ? j + 1 : 0;
        i = j > 0 ? i : i + 1 < map.h ? i + 1 : 0;
        image += i == 0 && j == 0;
    }
}

/* What to prefetch: `count` channel blocks of the next inputs, and the next outputs. */
struct prefetch {
    const struct strip *inputs;
    const float *from;
    size_t plane, count;
    const struct strip *outputs; /* NULL: none */
    const float *written, *read;
    size_t step;
};

static inline void prefetch_inputs(const struct prefetch *prefetch, size_t block)
{
    if (block >= prefetch->count)
        return;
    for (size_t t = 0; t < STRIP; t++)
        _mm_prefetch(prefetch->from + block * prefetch->plane + prefetch->inputs->from[t],
                     _MM_HINT_T1);
}

static inline void prefetch_outputs(const struct prefetch *prefetch, size_t t)
{
#pragma GCC unroll 2
    for (size_t b = 0; b < PAIR; b++) {
        size_t at = b * prefetch->step + prefetch->outputs->to[t];
        __builtin_prefetch(prefetch->written + at, 1);
        __builtin_prefetch(prefetch->read + at, 0);
    }
}

/* Zeros the pixels of a plane of the result that lie between those of a strip. */
static void clear_between(const struct pass *p, const struct strip *strip, float *plane)
{
    for (size_t t = 0; t < strip->count; t++)
        for (int i = 0; i < strip->rows[t]; i++)
            for (int j = i == 0; j < strip->columns[t]; j++) {
                size_t skip = (size_t)i * p->to->shape.w + (size_t)j;
                cpu_store(plane + strip->to[t] + skip * LINE, (cpu_vec){0});
            }
}

#define EACH_PIXEL _Pragma("GCC unroll 14") for (size_t t = 0; t < STRIP; t++)

/* Writes the accumulators of a strip to a plane of the result. */
static inline void put(const struct pass *p, const struct strip *strip, size_t plane,
                       cpu_vec v[STRIP])
{
    size_t at[STRIP];
    EACH_PIXEL at[t] = plane + strip->to[t];
    cpu_epilogue_put(&p->epilogue, v, at, STRIP);
    if (p->to_step > 1 && p->epilogue.added != p->epilogue.result)
        clear_between(p, strip, p->epilogue.result + plane);
}

/* Input blocks first..end of a strip, x_step apart, for a pair of output blocks from `output` on.
 * `sums` (PAIR, STRIP, 16) holds the accumulators between runs. */
static inline void multiply(const struct pass *p, const struct strip *strip, const float *x,
                            size_t x_step, size_t first, size_t end, size_t output, float *sums,
                            const struct prefetch *prefetch)
{
    cpu_vec sum[PAIR][STRIP];
    size_t inputs = cpu_blocks(p->from), w_step = inputs * TILE, count = end - first;
    const float *w = p->weights + (output * inputs + first) * TILE;
#pragma GCC unroll 2
    for (size_t b = 0; b < PAIR; b++) {
        cpu_vec bias = cpu_epilogue_bias(&p->epilogue, (output + b) * CPU_BLOCK);
        EACH_PIXEL sum[b][t] = first ? cpu_load(sums + (b * STRIP + t) * LINE) : bias;
    }
    size_t prefetched = 0;
    for (size_t k = 0; k < count; k++, x += x_step, w += TILE) {
        prefetch_inputs(prefetch, k);
        for (size_t until = STRIP * (k + 1) / count; prefetch->outputs && prefetched < until;
             prefetched++)
            prefetch_outputs(prefetch, prefetched);
#pragma GCC unroll 4
        for (size_t i = 0; i < CPU_BLOCK; i++) {
            cpu_vec w0 = cpu_load(w + i * CPU_BLOCK), w1 = cpu_load(w + w_step + i * CPU_BLOCK);
            EACH_PIXEL
            {
                cpu_vec v = cpu_broadcast(x[t * LINE + i]);
                sum[0][t] = cpu_fma(w0, v, sum[0][t]);
                sum[1][t] = cpu_fma(w1, v, sum[1][t]);
            }
        }
    }
#pragma GCC unroll 2
    for (size_t b = 0; b < PAIR; b++) {
        if (end < inputs)
            EACH_PIXEL cpu_store(sums + (b * STRIP + t) * LINE, sum[b][t]);
        else
            put(p, strip, (output + b) * p->to->plane, sum[b]);
    }
}

/* Copies `count` input blocks of a strip, from `first` on, to consecutive pixels. */
static void pack(const struct pass *p, const struct strip *strip, size_t first, size_t count,
                 float *to)
{
    for (size_t b = 0; b < count; b++)
        for (size_t t = 0; t < STRIP; t++, to += LINE)
            cpu_store(to, cpu_load(p->from->data + (first + b) * p->from->plane + strip->from[t]));
}

/* Output blocks first..end of a strip, while `next` is prefetched. */
static void run_strip(const struct pass *p, const struct strip *strip, const struct strip *next,
                      size_t first, size_t end)
{
    float sums[MOST_OUTPUTS / PAIR][SUMS] __attribute__((aligned(64)));
    float packed[RUN * STRIP * LINE] __attribute__((aligned(64)));
    size_t inputs = cpu_blocks(p->from), step = p->to->plane, pairs = (end - first) / PAIR;
    const struct cpu_epilogue *epilogue = &p->epilogue;
    const float *read = epilogue->sign    ? epilogue->sign
                        : epilogue->added ? epilogue->added
                                          : epilogue->result;
    bool contiguous = strip->from[STRIP - 1] - strip->from[0] == (STRIP - 1) * LINE;
    for (size_t i = 0; i < inputs; i += RUN) {
        size_t count = least(RUN, inputs - i);
        bool last = i + count == inputs;
        const float *x = p->from->data + i * p->from->plane + strip->from[0];
        if (!contiguous) {
            pack(p, strip, i, count, packed);
            x = packed;
        }
        size_t after = last ? 0 : i + count;
        size_t wanted = least(RUN, inputs - after), each = (wanted + pairs - 1) / pairs;
        for (size_t o = first, pair = 0; o < end; o += PAIR, pair++) {
            size_t prefetched = least(wanted, pair * each),
                   other = (o + PAIR < end ? o + PAIR : first) * step;
            struct prefetch prefetch = {
                .inputs = last ? next : strip,
                .from = p->from->data + (after + prefetched) * p->from->plane,
                .plane = p->from->plane,
                .count = least(each, wanted - prefetched),
                .outputs = !last            ? NULL
                           : o + PAIR < end ? strip
                                            : next,
                .written = epilogue->result + other,
                .read = read + other,
                .step = step,
            };
            multiply(p, strip, x, contiguous ? p->from->plane : STRIP * LINE, i, i + count, o,
                     sums[pair], &prefetch);
        }
    }
}

static void run_strips(const struct pass *p, size_t begin, size_t end)
{
    size_t outputs = cpu_blocks(p->to), width = CACHED_WEIGHTS / (cpu_blocks(p->from) * TILE);
    width = least(MOST_OUTPUTS, width < PAIR ? PAIR : width / PAIR * PAIR);
    for (size_t o = 0; o < outputs; o += width) {
        struct strip strip, next;
        find_strip(p, begin, &strip);
        for (size_t s = begin; s < end; s++, strip = next) {
            find_strip(p, s + 1 < end ? s + 1 : begin, &next);
            run_strip(p, &strip, &next, o, least(outputs, o + width));
        }
    }
}

static int plan(struct cpu_conv_plan *plan)
{
    const struct cpu_conv_task *task = &plan->task;
    const ps_node *node = task->node[0];
    plan->layout = task->pass == CPU_FORWARD ? CPU_TILES_OI_IO : CPU_TILES_IO_OI;
    plan->packed = cpu_conv_weights(node);
    plan->fused = CPU_FUSES_ADD | CPU_FUSES_VIEWS | (node->desc.stride == 1 ? CPU_FUSES_MASK : 0);
    return 0;
}

static int run(const struct cpu_conv_plan *plan, const struct cpu_conv_args *args)
{
    bool forward = plan->task.pass == CPU_FORWARD;
    int stride = plan->task.node[0]->desc.stride;
    struct pass p = {.from = forward ? args->x : args->y[0],
                     .to = forward ? args->y[0] : args->x,
                     .weights = args->weights[0],
                     .epilogue = args->epilogue[0],
                     .from_step = forward ? stride : 1,
                     .to_step = forward ? 1 : stride};
    p.epilogue.stream = false;
    size_t strips = (pixels_of(&p) + STRIP - 1) / STRIP;
#pragma omp parallel
    {
        size_t threads = (size_t)omp_get_num_threads(), thread = (size_t)omp_get_thread_num();
        run_strips(&p, strips * thread / threads, strips * (thread + 1) / threads);
    }
    return 0;
}

const struct cpu_conv_algorithm cpu_conv_direct_1x1 = {
    .name = "direct 1x1",
    .passes = 1 << CPU_FORWARD | 1 << CPU_DATA,
    .supported = supported,
    .rank = 20,
    .plan = plan,
    .run = run,
};
