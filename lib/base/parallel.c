#include "base/parallel.h"
#include "base/err.h"
#include "base/interrupt.h"
#include "base/mem.h"
#include "base/quota.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct team {
    pthread_mutex_t lock;
    size_t next, count;
    int (*work)(void *context, size_t i);
    void *context;
    int rc;
    size_t failed_at;
    char message[2048];
};

static double quota;

static void read_quota(void)
{
    quota = ps_cpu_quota("");
}

int ps_cpu_count(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_quota);
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set))
        return 1;
    double count = fmin(CPU_COUNT(&set), ceil(quota));
    return count > 1 ? (int)count : 1;
}

static bool take(struct team *team, size_t *index)
{
    pthread_mutex_lock(&team->lock);
    bool more = !team->rc && team->next < team->count && !ps_interrupted();
    if (more)
        *index = team->next++;
    pthread_mutex_unlock(&team->lock);
    return more;
}

static void report(struct team *team, size_t index, int rc)
{
    pthread_mutex_lock(&team->lock);
    if (!team->rc || index < team->failed_at) {
        team->rc = rc;
        team->failed_at = index;
        snprintf(team->message, sizeof team->message, "%s", ps_error());
    }
    pthread_mutex_unlock(&team->lock);
}

static void *member(void *argument)
{
    struct team *team = argument;
    size_t index;
    while (take(team, &index)) {
        int rc = team->work(team->context, index);
        if (rc)
            report(team, index, rc);
    }
    return NULL;
}

int ps_parallel_for(int threads, size_t count, int (*work)(void *context, size_t i), void *context)
{
    struct team team = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .count = count, .work = work, .context = context};
    size_t wanted = threads > 0 ? (size_t)threads : (size_t)ps_cpu_count();
    if (wanted > count)
        wanted = count;
    pthread_t *helpers = ps_calloc(wanted, sizeof *helpers);
    if (!helpers)
        return PS_ENOMEM;
    size_t started = 0; /* this thread is a member too */
    while (started + 1 < wanted && !pthread_create(&helpers[started], NULL, member, &team))
        started++;
    member(&team);
    for (size_t i = 0; i < started; i++)
        pthread_join(helpers[i], NULL);
    free(helpers);
    if (team.rc)
        return ps_fail((enum ps_err)team.rc, "%s", team.message);
    if (team.next < count)
        return ps_fail_interrupted();
    return PS_OK;
}
