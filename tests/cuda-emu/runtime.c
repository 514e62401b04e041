/* The stand-in's CUDA runtime: memory, streams, events, copies. See standin.h. */
#include "tests/cuda-emu/standin.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, BLOCKS = 1 << 16, ALIGNMENT = 256 };
/* Larger blocks stay open to the host, for speed. */
enum { CLOSED_BYTES = 64 << 10 };
static const size_t reserved = (size_t)1 << 36;

struct block {
    char *pages, *memory; /* the end of memory is the end of the pages, but for the alignment */
    size_t page_bytes, bytes;
};

struct CUstream_st {
    enum standin_kind kind;
    unsigned long issued, finished; /* numbers of copies */
};

struct CUevent_st {
    enum standin_kind kind;
    cudaStream_t stream; /* NULL: never recorded */
    unsigned long number;
};

/* A copy between pinned memory and the device that has not been waited for. */
struct copy {
    struct copy *next;
    cudaStream_t stream;
    unsigned long number;
    bool to_host;
    char *host, *content;
    size_t bytes;
};

static struct block device_blocks[BLOCKS], pinned_blocks[BLOCKS];
static size_t device_count, pinned_count, device_bytes;
static char *arena;
static size_t arena_used;
static struct copy *copies;
static int current_device = -1;

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
        standin_die("%s: a handle is of another kind, or was destroyed", what);
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

static void need_device(const char *what)
{
    if (current_device < 0)
        standin_die("%s: before cudaSetDevice", what);
}

static void protect(int how)
{
    for (size_t i = 0; i < device_count; i++)
        if (device_blocks[i].page_bytes <= CLOSED_BYTES &&
            mprotect(device_blocks[i].pages, device_blocks[i].page_bytes, how))
            standin_die("memory of the device cannot be protected");
}

void standin_begin(cudaStream_t stream)
{
    need_device("work");
    standin_check(stream, STANDIN_STREAM, "work on a stream");
    protect(PROT_READ | PROT_WRITE);
}

void standin_end(void)
{
    protect(PROT_NONE);
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
        standin_die("%s: %zu bytes at %p are no live device memory", what, bytes, p);
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
    need_device("cudaMemGetInfo");
    *total = device_limit();
    *left = *total - device_bytes;
    return cudaSuccess;
}

static void reserve(void)
{
    arena = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED)
        standin_die("no addresses for the device");
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    need_device("cudaMalloc");
    *memory = NULL;
    if (bytes > device_limit() - device_bytes)
        return cudaErrorMemoryAllocation;
    if (!arena)
        reserve();
    size_t used = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t page_bytes = (used + PAGE - 1) / PAGE * PAGE;
    if (page_bytes + PAGE > reserved - arena_used || device_count == BLOCKS)
        standin_die("too many allocations for this test double");
    char *pages = arena + arena_used;
    arena_used += page_bytes + PAGE; /* a guard */
    struct block block = {pages, pages + page_bytes - used, page_bytes, bytes};
    device_blocks[device_count++] = block;
    device_bytes += bytes;
    mprotect(pages, page_bytes, PROT_READ | PROT_WRITE);
    memset(pages, 0xff, page_bytes);
    protect(PROT_NONE);
    *memory = block.memory;
    return cudaSuccess;
}

/* Copies of a stream up to a number have ended. */
static void finish(cudaStream_t stream, unsigned long number)
{
    for (struct copy **at = &copies; *at;) {
        struct copy *copy = *at;
        if (copy->stream != stream || copy->number > number) {
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

static void finish_all(void)
{
    while (copies)
        finish(copies->stream, copies->number);
}

cudaError_t cudaFree(void *memory)
{
    need_device("cudaFree");
    finish_all();
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
    standin_die("cudaFree: %p is no live device memory", memory);
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    need_device("cudaMallocHost");
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
    standin_die("cudaFreeHost: %p is no live pinned memory", memory);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    need_device("cudaStreamCreateWithFlags");
    if (flags != cudaStreamNonBlocking)
        standin_die("a stream that waits for others is not wanted");
    *stream = standin_new(STANDIN_STREAM, sizeof **stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    standin_check(stream, STANDIN_STREAM, "cudaStreamDestroy");
    finish(stream, stream->issued);
    standin_free(stream, STANDIN_STREAM, "cudaStreamDestroy");
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    standin_check(stream, STANDIN_STREAM, "cudaStreamSynchronize");
    finish(stream, stream->issued);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    need_device("cudaEventCreateWithFlags");
    (void)flags;
    *event = standin_new(STANDIN_EVENT, sizeof **event);
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    standin_free(event, STANDIN_EVENT, "cudaEventDestroy");
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    standin_check(event, STANDIN_EVENT, "cudaEventRecord");
    standin_check(stream, STANDIN_STREAM, "cudaEventRecord");
    event->stream = stream;
    event->number = stream->issued;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    standin_check(event, STANDIN_EVENT, "cudaEventSynchronize");
    if (event->stream)
        finish(event->stream, event->number);
    return cudaSuccess;
}

static void start_copy(cudaStream_t stream, bool to_host, void *host, const void *device,
                       size_t bytes)
{
    struct copy *copy = malloc(sizeof *copy);
    char *content = malloc(bytes);
    if (!copy || !content)
        standin_die("out of memory");
    memcpy(content, to_host ? device : host, bytes);
    if (to_host)
        memset(host, 0xff, bytes); /* not there yet */
    *copy = (struct copy){copies, stream, ++stream->issued, to_host, host, content, bytes};
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
        start_copy(stream, false, (void *)(uintptr_t)from, to, bytes);
    } else if (kind == cudaMemcpyDeviceToHost) {
        need_pinned(to, bytes);
        standin_device_range(from, bytes, 1, "copy from the device");
        start_copy(stream, true, to, from, bytes);
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
