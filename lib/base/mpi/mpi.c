/* The plugin ps-mpi.so: the exchanges of base/ranks.h by MPI. */
#include "base/ranks.h"

#include <mpi.h>
#include <stdio.h>

extern const struct ps_ranks_ops ps_ranks_ops_mpi;

enum { LARGEST = 1 << 30 }; /* bytes of a message; MPI counts with int */

static size_t part_of(size_t length)
{
    return length < LARGEST ? length : LARGEST;
}

static int open_ranks(int *rank, int *count)
{
    int given, error = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given);
    if (!error)
        error = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (!error)
        error = MPI_Comm_rank(MPI_COMM_WORLD, rank);
    return error ? error : MPI_Comm_size(MPI_COMM_WORLD, count);
}

static int broadcast_from(int root, char *bytes, size_t length)
{
    int error = 0;
    for (size_t part; length && !error; bytes += part, length -= part) {
        part = part_of(length);
        error = MPI_Bcast(bytes, (int)part, MPI_BYTE, root, MPI_COMM_WORLD);
    }
    return error;
}

static int gather(void *all, const size_t *offset)
{
    int count, error = MPI_Comm_size(MPI_COMM_WORLD, &count);
    for (int r = 0; r < count && !error; r++)
        error = broadcast_from(r, (char *)all + offset[r], offset[r + 1] - offset[r]);
    return error;
}

static int broadcast(void *bytes, size_t length)
{
    return broadcast_from(0, bytes, length);
}

static int send_to(int to, const void *bytes, size_t length)
{
    const char *at = bytes;
    int error = 0;
    for (size_t part; length && !error; at += part, length -= part) {
        part = part_of(length);
        error = MPI_Send(at, (int)part, MPI_BYTE, to, 0, MPI_COMM_WORLD);
    }
    return error;
}

static int receive_from(int from, void *bytes, size_t length)
{
    char *at = bytes;
    int error = 0;
    for (size_t part; length && !error; at += part, length -= part) {
        part = part_of(length);
        error = MPI_Recv(at, (int)part, MPI_BYTE, from, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    return error;
}

static int exchange_with(int peer, const void *out, size_t out_length, void *in, size_t in_length)
{
    const char *from = out;
    char *to = in;
    int error = 0;
    while ((out_length || in_length) && !error) {
        size_t sent = part_of(out_length), got = part_of(in_length);
        error = MPI_Sendrecv(from, (int)sent, MPI_BYTE, peer, 0, to, (int)got, MPI_BYTE, peer, 0,
                             MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        from += sent;
        to += got;
        out_length -= sent;
        in_length -= got;
    }
    return error;
}

static void describe(int error, char *text, size_t size)
{
    char whole[MPI_MAX_ERROR_STRING];
    int length;
    if (MPI_Error_string(error, whole, &length))
        length = 0;
    snprintf(text, size, "%.*s", length, whole);
}

static void close_ranks(void)
{
    int open;
    if (!MPI_Initialized(&open) && open)
        MPI_Finalize();
}

const struct ps_ranks_ops ps_ranks_ops_mpi = {
    .interface = PS_RANKS_INTERFACE,
    .open = open_ranks,
    .gather = gather,
    .broadcast = broadcast,
    .send = send_to,
    .receive = receive_from,
    .exchange = exchange_with,
    .text = describe,
    .close = close_ranks,
};
