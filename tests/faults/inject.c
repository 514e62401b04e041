/*
 * inject -n N [-e ERROR] -r REPORT FOLDER COMMAND...
 *
 * Runs a command and makes one of its system calls on files below FOLDER fail: the N-th, counting
 * from 1 those of all its threads, but not those of other programs that it runs. -e: with ERROR,
 * and only calls that may report it count. REPORT gets a line "COUNT CALL NAME": the number of such
 * calls, and the one that failed. Names that are not absolute count as being below FOLDER, and so
 * do pipes. Ends with the status of the command, 128 + number after a signal, and with 77 where the
 * kernel does not allow this (seccomp_unotify(2)).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIP = 77, NAME = 4096 };

/* A call, its argument with the file (a name or a descriptor), and the error it gets. */
static const struct call {
    int number;
    const char *name;
    int argument;
    bool by_name, may_wait; /* may_wait: EINTR is possible */
    int error;
} calls[] = {
    {SYS_openat, "openat", 1, true, true, EMFILE},
    {SYS_read, "read", 0, false, true, EIO},
    {SYS_pread64, "pread64", 0, false, true, EIO},
    {SYS_write, "write", 0, false, true, ENOSPC},
    {SYS_pwrite64, "pwrite64", 0, false, true, ENOSPC},
    {SYS_writev, "writev", 0, false, true, ENOSPC},
    {SYS_pwritev, "pwritev", 0, false, true, ENOSPC},
    {SYS_fsync, "fsync", 0, false, true, EIO},
    {SYS_fdatasync, "fdatasync", 0, false, true, EIO},
    {SYS_fallocate, "fallocate", 0, false, true, ENOSPC},
    {SYS_ftruncate, "ftruncate", 0, false, false, EIO},
    {SYS_close, "close", 0, false, false, EIO},
    {SYS_mmap, "mmap", 4, false, false, ENOMEM},
    {SYS_fstat, "fstat", 0, false, false, EIO},
    {SYS_newfstatat, "newfstatat", 1, true, false, EACCES},
    {SYS_lseek, "lseek", 0, false, false, EIO},
    {SYS_getdents64, "getdents64", 0, false, false, EIO},
    {SYS_flock, "flock", 0, false, true, ENOLCK},
    {SYS_renameat2, "renameat2", 1, true, false, EACCES},
    {SYS_mkdirat, "mkdirat", 1, true, false, EACCES},
    {SYS_unlinkat, "unlinkat", 1, true, false, EACCES},
#ifdef SYS_open /* older calls, which newer architectures lack */
    {SYS_open, "open", 0, true, true, EMFILE},
    {SYS_stat, "stat", 0, true, false, EACCES},
    {SYS_access, "access", 0, true, false, EACCES},
    {SYS_rename, "rename", 0, true, false, EACCES},
    {SYS_mkdir, "mkdir", 0, true, false, EACCES},
    {SYS_unlink, "unlink", 0, true, false, EACCES},
#endif
};

enum { CALLS = sizeof calls / sizeof *calls };

static void stop(const char *what)
{
    perror(what);
    exit(SKIP);
}

/* In the child: the listener of a filter for all calls of the table. */
static int install_filter(void)
{
    struct sock_filter filter[2 * CALLS + 2];
    unsigned short n = 0;
    filter[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < CALLS; i++) {
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                   (unsigned)calls[i].number, 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {n, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static void send_descriptor(int socket, int fd)
{
    char byte = 0;
    struct iovec part = {&byte, 1};
    union control control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    if (sendmsg(socket, &message, 0) != 1)
        _exit(SKIP);
}

static int receive_descriptor(int socket)
{
    char byte;
    int fd = -1;
    struct iovec part = {&byte, 1};
    union control control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

/* The name of the file that a call is about; false where it is none. */
static bool name_of(const struct call *call, const struct seccomp_notif *request, char *name)
{
    unsigned long long value = request->data.args[call->argument];
    char link[64];
    if (!call->by_name) {
        snprintf(link, sizeof link, "/proc/%u/fd/%d", request->pid, (int)value);
        ssize_t length = readlink(link, name, NAME - 1);
        name[length > 0 ? length : 0] = '\0';
        return length > 0;
    }
    size_t page = NAME - value % NAME; /* what follows may not be mapped */
    struct iovec here = {name, NAME - 1}, there = {(void *)value, page < NAME ? page : NAME - 1};
    ssize_t length = process_vm_readv((pid_t)request->pid, &here, 1, &there, 1, 0);
    name[length > 0 ? length : 0] = '\0';
    return length > 0 && *name;
}

static bool is_thread_of(pid_t process, unsigned thread)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%u", (int)process, thread);
    return access(path, F_OK) == 0;
}

static bool concerns(const struct call *call, const char *name, const char *folder)
{
    bool pipe = !strncmp(name, "pipe:", 5);
    /* A pipe whose close "failed" would stay open, which no system does. */
    if (pipe)
        return call->number != SYS_close;
    return *name != '/' ? strncmp(name, "socket:", 7) != 0 : !strncmp(name, folder, strlen(folder));
}

struct fault {
    pid_t process;
    long wanted, count;
    int error; /* 0: that of the call */
    const char *folder;
    char failed[NAME + 64];
};

static void answer(int listener, struct fault *fault)
{
    struct seccomp_notif request = {0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request))
        return; /* the thread has ended */
    struct seccomp_notif_resp response = {.id = request.id,
                                          .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    const struct call *call = NULL;
    char name[NAME];
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].number == request.data.nr)
            call = &calls[i];
    bool counts = call && (!fault->error || fault->error != EINTR || call->may_wait) &&
                  name_of(call, &request, name) && concerns(call, name, fault->folder) &&
                  is_thread_of(fault->process, request.pid);
    if (counts && ++fault->count == fault->wanted) {
        response.flags = 0;
        response.error = -(fault->error ? fault->error : call->error);
        snprintf(fault->failed, sizeof fault->failed, "%s %s", call->name, name);
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static int attend(pid_t child, int listener, struct fault *fault)
{
    int end = (int)syscall(SYS_pidfd_open, child, 0), status;
    if (end < 0)
        stop("inject: pidfd_open");
    for (;;) {
        struct pollfd ready[2] = {{listener, POLLIN, 0}, {end, POLLIN, 0}};
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            stop("inject: poll");
        if (ready[0].revents & POLLIN)
            answer(listener, fault);
        else if (ready[1].revents)
            break;
    }
    if (waitpid(child, &status, 0) < 0)
        stop("inject: waitpid");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    struct fault fault = {.failed = ""};
    const char *report = NULL;
    int option, sockets[2];
    while ((option = getopt(argc, argv, "+n:e:r:")) != -1) {
        if (option == 'n')
            fault.wanted = strtol(optarg, NULL, 10);
        else if (option == 'e')
            fault.error = !strcmp(optarg, "EINTR") ? EINTR : EIO;
        else if (option == 'r')
            report = optarg;
        else
            return 2;
    }
    if (argc - optind < 2 || !report || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
        return 2;
    fault.folder = argv[optind++];
    pid_t child = fork();
    if (child < 0)
        stop("inject: fork");
    if (child == 0) {
        int listener = install_filter();
        if (listener < 0)
            _exit(SKIP);
        send_descriptor(sockets[1], listener);
        close(sockets[1]);
        /* Nobody answers for the listener's own close: it goes at exec. */
        fcntl(listener, F_SETFD, FD_CLOEXEC);
        execvp(argv[optind], argv + optind);
        _exit(127);
    }
    close(sockets[1]);
    int listener = receive_descriptor(sockets[0]);
    if (listener < 0)
        return SKIP;
    fault.process = child;
    int status = attend(child, listener, &fault);
    FILE *out = fopen(report, "w");
    if (!out || fprintf(out, "%ld %s\n", fault.count, fault.failed) < 0 || fclose(out))
        return SKIP;
    return status;
}
