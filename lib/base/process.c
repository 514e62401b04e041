#include "base/process.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/out.h"
#include "base/path.h"

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char line[256]; /* made before it is needed: a handler may not */

static void on_abort(int number)
{
    ps_temporaries_remove();
    (void)!write(STDERR_FILENO, line, strlen(line));
    raise(number); /* the default, once the handler returns */
}

/* GLib's own way of saying that memory ran out can wait for itself. */
static void on_glib_message(const gchar *domain, GLogLevelFlags level, const gchar *message,
                            gpointer data)
{
    (void)data;
    if (level & G_LOG_LEVEL_ERROR) {
        ps_fail(PS_ENOMEM, "%s ends the program: %s", domain ? domain : "GLib", message);
        ps_log_error();
        ps_temporaries_remove();
        _exit(1);
    }
    if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING))
        ps_warn("%s: %s", domain ? domain : "GLib", message);
}

void ps_process_begin(const char *name)
{
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND};
    ps_fd_reserve_standard();
    ps_log_program(name);
    ps_interrupt_install();
    signal(SIGXFSZ, SIG_IGN); /* write() then fails with EFBIG */
    snprintf(line, sizeof line,
             "%s: error: a library ended the program, most likely for want of memory\n", name);
    sigemptyset(&action.sa_mask);
    sigaction(SIGABRT, &action, NULL);
    g_log_set_default_handler(on_glib_message, NULL);
    atexit(ps_temporaries_remove); /* libarchive calls exit() where memory runs out */
}

void ps_process_share_processors(char **argv)
{
    bool asks = argv[1] && argv[1][0] == '-' && !argv[2]; /* --version */
    if (asks || getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    char *program = ps_path_program();
    if (!program)
        return;
    setenv("GOMP_SPINCOUNT", "2000", 1);
    execv(program, argv);
    free(program);
}
