/*
 * Transfers between host and device. Images are copied on a second stream, so that a batch arrives
 * while the one before it is processed; everything else is in the order of the calls.
 */
#include "kernels/cuda/host.h"

#include <string.h>

enum { ARGUMENTS = 1 << 16 }; /* initial bytes */

static int make_event(struct cuda *cuda, cudaEvent_t *event)
{
    return cuda_check(cuda, cudaEventCreateWithFlags(event, cudaEventDisableTiming), "event");
}

int cuda_transfer_open(struct cuda *cuda)
{
    for (int i = 0; i < CUDA_STAGES; i++) {
        struct cuda_stage *stage = &cuda->stages[i];
        if (cuda_check(cuda, cudaMallocHost(&stage->memory, CUDA_STAGE_BYTES), "pinned memory") ||
            make_event(cuda, &stage->done))
            return -1;
    }
    for (int i = 0; i < CUDA_INPUTS; i++)
        if (make_event(cuda, &cuda->inputs[i].arrived) || make_event(cuda, &cuda->inputs[i].used))
            return -1;
    return cuda_check(cuda, cudaMallocHost((void **)&cuda->late_value, CUDA_LATE * sizeof(double)),
                      "pinned memory");
}

void cuda_transfer_close(struct cuda *cuda)
{
    for (int i = 0; i < CUDA_STAGES; i++) {
        if (cuda->stages[i].done)
            cudaEventDestroy(cuda->stages[i].done);
        if (cuda->stages[i].memory)
            cudaFreeHost(cuda->stages[i].memory);
    }
    for (int i = 0; i < CUDA_INPUTS; i++) {
        struct cuda_input *input = &cuda->inputs[i];
        cudaFree(input->bytes.memory);
        if (input->arrived)
            cudaEventDestroy(input->arrived);
        if (input->used)
            cudaEventDestroy(input->used);
    }
    cudaFree(cuda->arguments.memory);
    if (cuda->pinned_arguments)
        cudaFreeHost(cuda->pinned_arguments);
    if (cuda->late_value)
        cudaFreeHost(cuda->late_value);
}

/* Waits for the stream; arguments of earlier calls are no longer needed then. */
static int synchronize(struct cuda *cuda)
{
    if (cuda_check(cuda, cudaStreamSynchronize(cuda->stream), "a kernel or copy"))
        return -1;
    cuda->arguments_used = 0;
    return 0;
}

/* A staging buffer whose last copy has ended. */
static struct cuda_stage *next_stage(struct cuda *cuda)
{
    struct cuda_stage *stage = &cuda->stages[cuda->next_stage];
    cuda->next_stage = (cuda->next_stage + 1) % CUDA_STAGES;
    return cuda_check(cuda, cudaEventSynchronize(stage->done), "a kernel or copy") ? NULL : stage;
}

static int upload_on(struct cuda *cuda, cudaStream_t stream, void *device, const void *host,
                     size_t bytes)
{
    for (size_t at = 0; at < bytes; at += CUDA_STAGE_BYTES) {
        size_t length = bytes - at < CUDA_STAGE_BYTES ? bytes - at : CUDA_STAGE_BYTES;
        struct cuda_stage *stage = next_stage(cuda);
        if (!stage)
            return -1;
        memcpy(stage->memory, (const char *)host + at, length);
        if (cuda_check(cuda,
                       cudaMemcpyAsync((char *)device + at, stage->memory, length,
                                       cudaMemcpyHostToDevice, stream),
                       "copy to the device") ||
            cuda_check(cuda, cudaEventRecord(stage->done, stream), "event"))
            return -1;
    }
    return 0;
}

int cuda_upload(struct cuda *cuda, void *device, const void *host, size_t bytes)
{
    return upload_on(cuda, cuda->stream, device, host, bytes);
}

int cuda_download(struct cuda *cuda, void *host, const void *device, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += CUDA_STAGE_BYTES) {
        size_t length = bytes - at < CUDA_STAGE_BYTES ? bytes - at : CUDA_STAGE_BYTES;
        struct cuda_stage *stage = next_stage(cuda);
        if (!stage ||
            cuda_check(cuda,
                       cudaMemcpyAsync(stage->memory, (const char *)device + at, length,
                                       cudaMemcpyDeviceToHost, cuda->stream),
                       "copy from the device") ||
            synchronize(cuda))
            return -1;
        memcpy((char *)host + at, stage->memory, length);
    }
    return 0;
}

static size_t argument_bytes(const struct cuda_argument *argument)
{
    return argument->host ? (argument->bytes + 15) / 16 * 16 : 0;
}

/* Replaces the memory of arguments, none of which is needed any more. */
static int grow_arguments(struct cuda *cuda, size_t bytes)
{
    size_t room = 2 * bytes > ARGUMENTS ? 2 * bytes : ARGUMENTS;
    if (cuda->pinned_arguments)
        cudaFreeHost(cuda->pinned_arguments);
    cuda->pinned_arguments = NULL;
    if (cuda_need(cuda, &cuda->arguments, room) == 0 &&
        cuda_check(cuda, cudaMallocHost((void **)&cuda->pinned_arguments, room), "pinned memory") ==
            0)
        return 0;
    cudaFree(cuda->arguments.memory);
    cuda->arguments = (struct cuda_buffer){NULL, 0};
    return -1;
}

/* Makes room after the arguments that kernels may still need, or waits and starts over. */
static int make_room(struct cuda *cuda, size_t bytes)
{
    if (bytes <= cuda->arguments.bytes - cuda->arguments_used)
        return 0;
    if (synchronize(cuda))
        return -1;
    return bytes <= cuda->arguments.bytes ? 0 : grow_arguments(cuda, bytes);
}

int cuda_arguments(struct cuda *cuda, struct cuda_argument *list, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += argument_bytes(&list[i]);
    if (total == 0)
        return 0;
    if (make_room(cuda, total))
        return -1;
    char *pinned = cuda->pinned_arguments + cuda->arguments_used;
    char *device = (char *)cuda->arguments.memory + cuda->arguments_used;
    for (int i = 0, at = 0; i < count; at += (int)argument_bytes(&list[i++])) {
        list[i].device = list[i].host ? device + at : NULL;
        if (list[i].host)
            memcpy(pinned + at, list[i].host, list[i].bytes);
    }
    cuda->arguments_used += total;
    return cuda_check(cuda,
                      cudaMemcpyAsync(device, pinned, total, cudaMemcpyHostToDevice, cuda->stream),
                      "copy to the device");
}

int cuda_wait(ps_backend *be)
{
    struct cuda *cuda = cuda_enter(be);
    int count = cuda->late_count;
    if (count == 0)
        return 0;
    cuda->late_count = 0;
    if (synchronize(cuda))
        return -1;
    for (int i = 0; i < count; i++)
        *cuda->late_to[i] = cuda->late_value[i];
    return 0;
}

int cuda_later(struct cuda *cuda, double *host, const double *device)
{
    if (cuda->late_count == CUDA_LATE && cuda_wait(&cuda->base))
        return -1;
    cuda->late_to[cuda->late_count] = host;
    return cuda_check(cuda,
                      cudaMemcpyAsync(&cuda->late_value[cuda->late_count++], device, sizeof *device,
                                      cudaMemcpyDeviceToHost, cuda->stream),
                      "copy from the device");
}

int cuda_stage_u8(ps_backend *be, const uint8_t *nhwc, size_t bytes)
{
    struct cuda *cuda = cuda_enter(be);
    int next = (cuda->input + 1) % CUDA_INPUTS;
    struct cuda_input *input = &cuda->inputs[next];
    cuda->staged = 0;
    if (cuda_need(cuda, &input->bytes, bytes) ||
        cuda_check(cuda, cudaStreamWaitEvent(cuda->copies, input->used, 0), "event") ||
        upload_on(cuda, cuda->copies, input->bytes.memory, nhwc, bytes) ||
        cuda_check(cuda, cudaEventRecord(input->arrived, cuda->copies), "event"))
        return -1;
    cuda->input = next;
    cuda->staged = bytes;
    return 0;
}

int cuda_act_put_u8(ps_backend *be, ps_act *act, const uint8_t *nhwc,
                    const struct ps_input_norm *norm)
{
    struct cuda *cuda = cuda_enter(be);
    if (act->shape.c != 3)
        return cuda_fail(cuda, "images have 3 channels, not %d", act->shape.c);
    if (nhwc && cuda_stage_u8(be, nhwc, act->count))
        return -1;
    if (cuda->staged != act->count)
        return cuda_fail(cuda, "%zu bytes were staged for an input of %zu", cuda->staged,
                         act->count);
    cuda->staged = 0;
    const struct cuda_input *input = &cuda->inputs[cuda->input];
    if (cuda_check(cuda, cudaStreamWaitEvent(cuda->stream, input->arrived, 0), "event") ||
        cuda_check(cuda,
                   ps_cuda_input(input->bytes.memory, act->data, act->type, act->count / 3, norm,
                                 cuda->stream),
                   "input"))
        return -1;
    return cuda_check(cuda, cudaEventRecord(input->used, cuda->stream), "event");
}
