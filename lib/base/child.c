#include "base/child.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* The ends of its pipes that stay here; -1: closed. */
struct child {
    const char *name;
    pid_t pid;
    int to, from;
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int start(struct child *child, const char *const *argv)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    posix_spawn_file_actions_t actions;
    int failed = pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) ? errno : 0;
    if (!failed && !(failed = posix_spawn_file_actions_init(&actions))) {
        failed = posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
        if (!failed)
            failed = posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
        if (!failed)
            failed =
                posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        if (!failed)
            failed =
                posix_spawnp(&child->pid, argv[0], &actions, NULL, (char *const *)argv, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close_end(&in[0]);
    close_end(&out[1]);
    child->to = in[1];
    child->from = out[0];
    if (!failed && (fcntl(child->to, F_SETFL, O_NONBLOCK) < 0))
        failed = errno;
    errno = failed;
    return failed ? ps_fail_errno("cannot run %s", child->name) : PS_OK;
}

/* Sends what fits the pipe; *sent counts. */
static void feed(struct child *child, const struct ps_text *input, size_t *sent)
{
    ssize_t put =
        *sent < input->length ? write(child->to, input->data + *sent, input->length - *sent) : 0;
    if (put > 0)
        *sent += (size_t)put;
    /* A program that does not read on is judged by its status. */
    if ((put < 0 && errno != EAGAIN && errno != EINTR) || *sent == input->length)
        close_end(&child->to);
}

static int collect(struct child *child, size_t limit, struct ps_text *output)
{
    char block[1 << 16];
    ssize_t got = read(child->from, block, sizeof block);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN
                   ? PS_OK
                   : ps_fail_errno("cannot read from %s", child->name);
    if (!got)
        close_end(&child->from);
    if (output->length + (size_t)got > limit)
        return ps_fail(PS_EIO, "%s wrote more than %zu MB", child->name, limit / 1000000);
    return ps_text_add(output, block, (size_t)got);
}

static int exchange(struct child *child, const struct ps_text *input, double end, size_t limit,
                    struct ps_text *output)
{
    enum { SLICE = 100 }; /* ms; a signal that comes just before poll() is seen after it */
    size_t sent = 0;
    int rc = PS_OK;
    while (!rc && child->from >= 0) {
        struct pollfd ends[2] = {{child->from, POLLIN, 0}, {child->to, POLLOUT, 0}};
        if (ps_interrupted())
            return ps_fail_interrupted();
        if (ps_seconds() > end)
            return ps_fail(PS_EIO, "%s takes too long", child->name);
        if (poll(ends, 2, SLICE) < 0 && errno != EINTR)
            return ps_fail_errno("cannot wait for %s", child->name);
        if (ends[1].revents)
            feed(child, input, &sent);
        if (ends[0].revents)
            rc = collect(child, limit, output);
    }
    return rc;
}

/* Waits for its end, which after a failure is made to come. */
static int reap(const struct child *child, double end, int rc)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int status = 0;
    pid_t got = 0;
    while (!rc && !(got = waitpid(child->pid, &status, WNOHANG)) && ps_seconds() < end)
        nanosleep(&pause, NULL);
    if (rc || !got) {
        kill(child->pid, SIGKILL);
        while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
            ;
        return rc ? rc : ps_fail(PS_EIO, "%s does not end", child->name);
    }
    if (got < 0)
        return ps_fail_errno("cannot wait for %s", child->name);
    if (WIFSIGNALED(status))
        return ps_fail(PS_EIO, "%s was killed by signal %d", child->name, WTERMSIG(status));
    if (WEXITSTATUS(status))
        return ps_fail(PS_EIO, "%s failed (status %d)", child->name, WEXITSTATUS(status));
    return PS_OK;
}

int ps_child_filter(const char *const *argv, const struct ps_text *input, double seconds,
                    size_t limit, struct ps_text *output)
{
    struct child child = {.name = argv[0], .to = -1, .from = -1};
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    double end = ps_seconds() + seconds;
    int rc = start(&child, argv);
    if (!rc)
        rc = exchange(&child, input, end, limit, output);
    close_end(&child.to);
    close_end(&child.from);
    if (child.pid > 0)
        rc = reap(&child, end, rc);
    sigaction(SIGPIPE, &before, NULL);
    return rc;
}
