/* The stand-in's streams and events: which work is ordered before which. See standin.h. */
#include "tests/cuda-emu/standin.h"

enum { STREAMS = 64 };

/* How much of each stream's work has ended: a vector clock (Mattern 1989). */
struct clock {
    unsigned long ended[STREAMS];
};

struct CUstream_st {
    enum standin_kind kind;
    int number;
    struct clock clock; /* at its latest work; its own entry counts what was issued */
};

struct CUevent_st {
    enum standin_kind kind;
    bool recorded;
    struct clock clock;
};

static struct clock host;
static unsigned long issued[STREAMS];
static int streams = 1; /* 0 is no stream */

static void merge(struct clock *to, const struct clock *from)
{
    for (int i = 0; i < STREAMS; i++)
        if (to->ended[i] < from->ended[i])
            to->ended[i] = from->ended[i];
}

void standin_issue(cudaStream_t stream)
{
    standin_check(stream, STANDIN_STREAM, "work on a stream");
    merge(&stream->clock, &host);
    issued[stream->number] = ++stream->clock.ended[stream->number];
}

struct standin_moment standin_now(cudaStream_t stream)
{
    return (struct standin_moment){stream->number, stream->clock.ended[stream->number]};
}

bool standin_has_ended(struct standin_moment moment)
{
    return moment.count <= host.ended[moment.stream];
}

void standin_use(struct standin_moment *last, cudaStream_t stream)
{
    if (last->count > stream->clock.ended[last->stream])
        standin_die("memory is used on stream %d without waiting for the work of stream %d on it",
                    stream->number, last->stream);
    *last = standin_now(stream);
}

static void wait_for(const struct clock *clock)
{
    merge(&host, clock);
    standin_arrive();
}

void standin_wait_all(void)
{
    struct clock all = {{0}};
    for (int i = 0; i < STREAMS; i++)
        all.ended[i] = issued[i];
    wait_for(&all);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    standin_need_device("cudaStreamCreateWithFlags");
    if (flags != cudaStreamNonBlocking)
        standin_die("a stream that waits for others is not wanted");
    if (streams == STREAMS)
        standin_die("too many streams for this test double");
    *stream = standin_new(STANDIN_STREAM, sizeof **stream);
    (*stream)->number = streams++;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    standin_check(stream, STANDIN_STREAM, "cudaStreamDestroy");
    wait_for(&stream->clock);
    standin_free(stream, STANDIN_STREAM, "cudaStreamDestroy");
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    standin_check(stream, STANDIN_STREAM, "cudaStreamSynchronize");
    wait_for(&stream->clock);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    standin_check(stream, STANDIN_STREAM, "cudaStreamWaitEvent");
    standin_check(event, STANDIN_EVENT, "cudaStreamWaitEvent");
    if (event->recorded)
        merge(&stream->clock, &event->clock);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    standin_need_device("cudaEventCreateWithFlags");
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
    event->recorded = true;
    event->clock = stream->clock;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    standin_check(event, STANDIN_EVENT, "cudaEventSynchronize");
    if (event->recorded)
        wait_for(&event->clock);
    return cudaSuccess;
}
