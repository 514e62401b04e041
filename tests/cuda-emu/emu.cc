#undef _FORTIFY_SOURCE /* its longjmp knows one stack only */
#include "tests/cuda-emu/cuda_runtime.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace
{

constexpr unsigned MAX_THREADS = 1024, WARP = 32, STACK = 256 * 1024;

/* Threads wait here until `expected` of them have arrived. */
struct barrier {
    unsigned arrived, generation;
};

struct warp {
    barrier meeting;
    uint64_t slot[2][WARP]; /* values of this shuffle and of the one before it */
};

/* A stack runs one thread after another. It is entered through its context the first time, and
 * after that by longjmp, which unlike swapcontext makes no system call; with the address sanitizer
 * always by swapcontext. */
struct stack {
    ucontext_t context;
    jmp_buf resume;
    bool started;
    void *memory, *fake;
};

} // namespace

/* A thread. Its stack is its own from its begin to its end. */
struct ps_emu_fiber {
    struct stack *stack;
    uint3 index;
    unsigned linear, shuffles;
    const barrier *waits_at; /* until the barrier's generation differs from `generation` */
    unsigned generation;
    bool begun, done;
};

uint3 ps_emu_block_index;
dim3 ps_emu_block_size, ps_emu_grid_size;

namespace
{

stack stacks[MAX_THREADS];
ps_emu_fiber fibers[MAX_THREADS];
ps_emu_fiber *current;
bool descending; /* the order of threads */
#ifdef __SANITIZE_ADDRESS__
ucontext_t scheduler;
void *scheduler_fake_stack;
const void *scheduler_stack;
size_t scheduler_stack_size;
#else
jmp_buf scheduler_resume;
#endif
warp warps[MAX_THREADS / WARP];
barrier block_barrier;
unsigned thread_count;
void (*thread_body)(void *);
void *thread_context;

[[noreturn]] void die(const char *what)
{
    fprintf(stderr, "cuda-emu: block (%u, %u, %u), thread %u: %s\n", ps_emu_block_index.x,
            ps_emu_block_index.y, ps_emu_block_index.z, current ? current->linear : 0, what);
    abort();
}

#ifdef __SANITIZE_ADDRESS__

void leave(ps_emu_fiber *fiber)
{
    stack *from = fiber->stack;
    __sanitizer_start_switch_fiber(&from->fake, scheduler_stack, scheduler_stack_size);
    swapcontext(&from->context, &scheduler);
    __sanitizer_finish_switch_fiber(from->fake, &scheduler_stack, &scheduler_stack_size);
}

void enter(ps_emu_fiber *fiber)
{
    current = fiber;
    __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber->stack->memory, STACK);
    swapcontext(&scheduler, &fiber->stack->context);
    __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
}

void begin_fiber()
{
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
}

#else

/* Back to the scheduler. */
void leave(ps_emu_fiber *fiber)
{
    if (_setjmp(fiber->stack->resume) == 0)
        _longjmp(scheduler_resume, 1);
}

void enter(ps_emu_fiber *fiber)
{
    current = fiber;
    if (_setjmp(scheduler_resume) != 0)
        return;
    if (fiber->stack->started)
        _longjmp(fiber->stack->resume, 1);
    fiber->stack->started = true;
    setcontext(&fiber->stack->context);
}

void begin_fiber()
{
}

#endif

/* After the end of a thread, its stack goes to the next one of its warp, if that has not begun. */
bool pass_on()
{
    unsigned lane = current->linear % WARP;
    if (descending ? lane == 0 : lane == WARP - 1 || current->linear + 1 == thread_count)
        return false;
    ps_emu_fiber *next = descending ? current - 1 : current + 1;
    if (next->begun)
        return false;
    stack *free = next->stack;
    next->stack = current->stack;
    current->stack = free;
    current = next;
    current->begun = true;
    return true;
}

void trampoline()
{
    begin_fiber();
    for (;;) {
        do {
            thread_body(thread_context);
            current->done = true;
        } while (pass_on());
        leave(current);
    }
}

void arrive(barrier *b, unsigned expected)
{
    ps_emu_fiber *self = current;
    self->generation = b->generation;
    if (++b->arrived == expected) {
        b->arrived = 0;
        b->generation++;
        return;
    }
    self->waits_at = b;
    leave(self);
}

void prepare(ps_emu_fiber *fiber, unsigned linear)
{
    const dim3 &size = ps_emu_block_size;
    fiber->index = {linear % size.x, linear / size.x % size.y, linear / size.x / size.y};
    fiber->linear = linear;
    fiber->shuffles = 0;
    fiber->waits_at = nullptr;
    fiber->begun = fiber->done = false;
    if (fiber->stack)
        return;
    stack *own = fiber->stack = &stacks[linear];
    own->memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (own->memory == MAP_FAILED)
        die("no memory for a stack");
    getcontext(&own->context);
    own->context.uc_stack.ss_sp = own->memory;
    own->context.uc_stack.ss_size = STACK;
    own->context.uc_link = nullptr;
    makecontext(&own->context, trampoline, 0);
}

/* Runs a thread to its next wait. False if it still waits or is done. */
bool advance(ps_emu_fiber *fiber)
{
    if (fiber->done || (fiber->waits_at && fiber->waits_at->generation == fiber->generation))
        return false;
    fiber->waits_at = nullptr;
    fiber->begun = true;
    enter(fiber);
    return true;
}

/* Runs a warp as far as it can. */
bool advance_warp(unsigned number)
{
    unsigned begin = number * WARP;
    unsigned count = thread_count - begin < WARP ? thread_count - begin : WARP;
    bool moved = false;
    for (bool again = true; again; moved = moved || again) {
        again = false;
        for (unsigned k = 0; k < count; k++)
            again |= advance(&fibers[begin + (descending ? count - 1 - k : k)]);
    }
    return moved;
}

void run_block()
{
    descending = ps_emu_block_index.x % 2 == 1;
    unsigned warp_count = (thread_count + WARP - 1) / WARP, left = thread_count;
    memset(warps, 0, sizeof warps);
    block_barrier = {0, 0};
    for (unsigned t = 0; t < thread_count; t++)
        prepare(&fibers[t], t);
    while (left > 0) {
        bool moved = false;
        for (unsigned w = 0; w < warp_count; w++)
            moved |= advance_warp(descending ? warp_count - 1 - w : w);
        if (!moved)
            die("threads wait at a barrier or shuffle that others never reach");
        left = 0;
        for (unsigned t = 0; t < thread_count; t++)
            left += !fibers[t].done;
    }
}

} // namespace

const uint3 &ps_emu_thread_index()
{
    return current->index;
}

unsigned ps_emu_lane()
{
    return current->linear % WARP;
}

void __syncthreads()
{
    arrive(&block_barrier, thread_count);
}

uint64_t ps_emu_shuffle(unsigned mask, uint64_t value, unsigned source)
{
    ps_emu_fiber *self = current;
    unsigned lane = self->linear % WARP;
    if (source >= WARP || !(mask >> source & 1) || !(mask >> lane & 1))
        die("a shuffle with a lane outside its mask");
    warp *w = &warps[self->linear / WARP];
    uint64_t *slot = w->slot[self->shuffles++ % 2];
    slot[lane] = value;
    arrive(&w->meeting, static_cast<unsigned>(__builtin_popcount(mask)));
    return slot[source];
}

void ps_emu_run(dim3 grid, dim3 block, void (*body)(void *context), void *context)
{
    ps_emu_block_size = block;
    ps_emu_grid_size = grid;
    thread_count = block.x * block.y * block.z;
    thread_body = body;
    thread_context = context;
    current = nullptr;
    if (thread_count == 0 || thread_count > MAX_THREADS || block.z > 64)
        die("a block has 1 to 1024 threads");
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffU || grid.y > 65535 ||
        grid.z > 65535)
        die("a grid of a size that no device accepts");
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                ps_emu_block_index = {x, y, z};
                run_block();
            }
}
