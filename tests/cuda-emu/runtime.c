/* The stand-in's CUDA runtime: memory and copies. See standin.h. */
#include "tests/cuda-emu/standin.h"

#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, HUGE_PAGE = 2 << 20, BLOCKS = 1 << 16, ALIGNMENT = 256 };
static const size_t reserved = (size_t)1 << 36;

struct block {
    char *pages, *memory; /* memory ends where the pages end, up to alignment */
    size_t page_bytes, bytes;
    struct standin_moment used; /* last */
};

/* A copy between pinned memory and the device that has not been waited for. */
struct copy {
    struct copy *next;
    struct standin_moment when;
    bool to_host;
    char *host, *content;
    size_t bytes;
};

static struct block device_blocks[BLOCKS], pinned_blocks[BLOCKS];
static struct sigaction former_action;
static size_t device_count, pinned_count, device_bytes;
static char *arena;
static size_t arena_used;
static struct copy *copies;
static int current_device = -1;
static cudaStream_t working; /* the stream of the current work, or NULL */
static struct block *open_blocks[BLOCKS];
static size_t open_count;

void standin_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("cuda-emu: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

void *standin_new(enum standin_kind kind, size_t size)
{
    void *object = calloc(1, size);
    if (!object)
        standin_die("out of memory");
    memcpy(object, &kind, sizeof kind);
    return object;
}

void standin_check(const void *object, enum standin_kind kind, const char *what)
{
    enum standin_kind found;
    if (!object)
        standin_die("%s: a handle is NULL", what);
    memcpy(&found, object, sizeof found);
    if (found != kind)
        standin_die("%s: a handle of another kind, or a destroyed one", what);
}

void standin_free(void *object, enum standin_kind kind, const char *what)
{
    standin_check(object, kind, what);
    memset(object, 0, sizeof kind);
    free(object);
}

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

static size_t device_limit(void)
{
    return (size_t)setting("PS_CUDA_EMU_MIB", 4096) << 20;
}

void standin_need_device(const char *what)
{
    if (current_device < 0)
        standin_die("%s: before cudaSetDevice", what);
}

/* The current work accesses a block for the first time. */
static void open_block(struct block *block)
{
    standin_use(&block->used, working);
    if (mprotect(block->pages, block->page_bytes, PROT_READ | PROT_WRITE))
        standin_die("device memory cannot be unprotected");
    open_blocks[open_count++] = block;
}

/* Device memory is protected, so that this handler sees every first access. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    const char *at = info->si_addr;
    for (size_t i = 0; working && i < device_count; i++)
        if (at >= device_blocks[i].pages &&
            at < device_blocks[i].pages + device_blocks[i].page_bytes) {
            open_block(&device_blocks[i]);
            return;
        }
    if (arena && at >= arena && at < arena + reserved)
        standin_die(working ? "a kernel accesses device memory that is not allocated"
                            : "the host accesses device memory");
    sigaction(signal, &former_action, NULL);
}

void standin_begin(cudaStream_t stream)
{
    standin_need_device("work");
    standin_issue(stream);
    working = stream;
}

void standin_end(void)
{
    working = NULL;
    while (open_count > 0) {
        const struct block *block = open_blocks[--open_count];
        mprotect(block->pages, block->page_bytes, PROT_NONE);
    }
}

static const struct block *find(const struct block *blocks, size_t count, const void *p,
                                size_t bytes)
{
    for (size_t i = 0; i < count; i++) {
        const char *from = p;
        if (from >= blocks[i].memory && from + bytes <= blocks[i].memory + blocks[i].bytes)
            return &blocks[i];
    }
    return NULL;
}

void standin_device_range(const void *p, size_t bytes, size_t alignment, const char *what)
{
    if ((uintptr_t)p % alignment)
        standin_die("%s: %p is not aligned to %zu bytes", what, p, alignment);
    if (!find(device_blocks, device_count, p, bytes))
        standin_die("%s: %zu bytes at %p are not live device memory", what, bytes, p);
}

static void need_pinned(const void *p, size_t bytes)
{
    if (!find(pinned_blocks, pinned_count, p, bytes))
        standin_die("a copy of %zu bytes at %p, which is not pinned host memory", bytes, p);
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = (int)setting("PS_CUDA_EMU_DEVICES", 1);
    return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= setting("PS_CUDA_EMU_DEVICES", 1))
        return cudaErrorInvalidDevice;
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    if (device != current_device)
        return cudaErrorInvalidDevice;
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "stand-in for a GPU (a test double)");
    properties->totalGlobalMem = device_limit();
    properties->major = (int)setting("PS_CUDA_EMU_CAPABILITY", 90) / 10;
    properties->minor = (int)setting("PS_CUDA_EMU_CAPABILITY", 90) % 10;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    (void)attribute;
    (void)device;
    *value = 0; /* nothing that it computes fast */
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaErrorNoDevice           ? "no CUDA-capable device is detected"
           : error == cudaErrorMemoryAllocation ? "out of memory"
           : error == cudaErrorInvalidDevice    ? "invalid device ordinal"
                                                : "an error of the stand-in";
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total)
{
    standin_need_device("cudaMemGetInfo");
    *total = device_limit();
    *left = *total - device_bytes;
    return cudaSuccess;
}

static void reserve(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, &former_action);
    arena = mmap(NULL, reserved + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    if (arena == MAP_FAILED)
        standin_die("no addresses for the device");
    arena += HUGE_PAGE - (uintptr_t)arena % HUGE_PAGE;
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    standin_need_device("cudaMalloc");
    *memory = NULL;
    if (bytes > device_limit() - device_bytes)
        return cudaErrorMemoryAllocation;
    if (!arena)
        reserve();
    size_t used = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t page_bytes = (used + PAGE - 1) / PAGE * PAGE;
    bool huge = page_bytes >= HUGE_PAGE; /* pages that are protected many times faster */
    if (huge)
        arena_used = (arena_used + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (page_bytes + PAGE > reserved - arena_used || device_count == BLOCKS)
        standin_die("too many allocations for this test double");
    char *pages = arena + arena_used;
    arena_used += page_bytes + PAGE; /* a guard */
    device_blocks[device_count++] = (struct block){
        .pages = pages,
        .memory = pages + page_bytes - used,
        .page_bytes = page_bytes,
        .bytes = bytes,
    };
    device_bytes += bytes;
    if (huge)
        madvise(pages, page_bytes, MADV_HUGEPAGE);
    mprotect(pages, page_bytes, PROT_READ | PROT_WRITE);
    memset(pages, 0xff, page_bytes);
    mprotect(pages, page_bytes, PROT_NONE);
    *memory = device_blocks[device_count - 1].memory;
    return cudaSuccess;
}

void standin_arrive(void)
{
    for (struct copy **at = &copies; *at;) {
        struct copy *copy = *at;
        if (!standin_has_ended(copy->when)) {
            at = &copy->next;
            continue;
        }
        if (copy->to_host)
            memcpy(copy->host, copy->content, copy->bytes);
        else if (memcmp(copy->host, copy->content, copy->bytes) != 0)
            standin_die("pinned memory was changed before its copy to the device had ended");
        *at = copy->next;
        free(copy->content);
        free(copy);
    }
}

cudaError_t cudaFree(void *memory)
{
    standin_need_device("cudaFree");
    standin_wait_all();
    if (!memory)
        return cudaSuccess;
    for (size_t i = 0; i < device_count; i++) {
        struct block *block = &device_blocks[i];
        if (block->memory != memory)
            continue;
        mprotect(block->pages, block->page_bytes, PROT_NONE);
        madvise(block->pages, block->page_bytes, MADV_DONTNEED);
        device_bytes -= block->bytes;
        *block = device_blocks[--device_count];
        return cudaSuccess;
    }
    standin_die("cudaFree: %p is not live device memory", memory);
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    standin_need_device("cudaMallocHost");
    *memory = malloc(bytes);
    if (!*memory || pinned_count == BLOCKS)
        return cudaErrorMemoryAllocation;
    pinned_blocks[pinned_count++] = (struct block){.memory = *memory, .bytes = bytes};
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory)
{
    for (struct copy *copy = copies; copy; copy = copy->next)
        if (copy->host == memory)
            standin_die("cudaFreeHost: a copy is under way");
    for (size_t i = 0; i < pinned_count; i++)
        if (pinned_blocks[i].memory == memory) {
            free(memory);
            pinned_blocks[i] = pinned_blocks[--pinned_count];
            return cudaSuccess;
        }
    standin_die("cudaFreeHost: %p is not live pinned memory", memory);
}

static void start_copy(bool to_host, void *host, const void *device, size_t bytes)
{
    struct copy *copy = malloc(sizeof *copy);
    char *content = malloc(bytes);
    if (!copy || !content)
        standin_die("out of memory");
    memcpy(content, to_host ? device : host, bytes);
    if (to_host)
        memset(host, 0xff, bytes); /* not there yet */
    *copy = (struct copy){copies, standin_now(working), to_host, host, content, bytes};
    copies = copy;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    standin_begin(stream);
    if (kind == cudaMemcpyHostToDevice) {
        need_pinned(from, bytes);
        standin_device_range(to, bytes, 1, "copy to the device");
        memcpy(to, from, bytes);
        start_copy(false, (void *)(uintptr_t)from, to, bytes);
    } else if (kind == cudaMemcpyDeviceToHost) {
        need_pinned(to, bytes);
        standin_device_range(from, bytes, 1, "copy from the device");
        start_copy(true, to, from, bytes);
    } else if (kind == cudaMemcpyDeviceToDevice) {
        standin_device_range(from, bytes, 1, "copy on the device");
        standin_device_range(to, bytes, 1, "copy on the device");
        memcpy(to, from, bytes);
    } else {
        standin_die("a copy of unknown direction");
    }
    standin_end();
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    standin_begin(stream);
    standin_device_range(memory, bytes, 1, "cudaMemsetAsync");
    memset(memory, value, bytes);
    standin_end();
    return cudaSuccess;
}
