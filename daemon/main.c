/*
 * oched: TCP sockets for the programs of one user, in a process of its own.
 */
#include "daemon/handover/handover_items.h"
#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/log/log_output.h"
#include "daemon/process/background.h"
#include "daemon/process/options.h"
#include "daemon/process/rendezvous.h"
#include "daemon/process/respawner.h"
#include "daemon/process/sandbox.h"
#include "daemon/process/server.h"
#include "daemon/process/user.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum exit_status { EXIT_IN_ORDER = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_TAKEN = 3 };

static int open_log(const struct options *options, const struct rendezvous *rendezvous)
{
    char beside[sizeof rendezvous->address.sun_path + 8];
    const char *path = options->log_path;
    const char *wrong;
    log_set_level(options->log_level);
    log_output_limit(options->log_size);
    if (!path && options->foreground)
        return 0;
    if (path) {
        wrong = log_output_named(path);
    } else {
        snprintf(beside, sizeof beside, "%.*s.log", (int)sizeof rendezvous->address.sun_path - 1,
                 rendezvous->address.sun_path);
        path = beside;
        wrong = log_output_file(path);
    }
    if (wrong)
        fprintf(stderr, "oched: cannot open the log %s: %s\n", path, wrong);
    return wrong ? -1 : 0;
}

/* Signals that the server answers wait until it runs, and come then, whatever our parent had blocked; and when it does
 * not run any more they come no more: one before or after would leave the socket behind. */
static void set_signals(int how)
{
    sigset_t answered;
    sigemptyset(&answered);
    sigaddset(&answered, SIGTERM);
    sigaddset(&answered, SIGINT);
    sigaddset(&answered, SIGHUP);
    sigaddset(&answered, SIGUSR2);
    sigprocmask(how, &answered, NULL);
}

/* Of limits that nobody could raise this one ends the daemon, and without a word. */
static void warn_of_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_max != RLIM_INFINITY)
        log_line(LOG_WARNING,
                 "event=limited what=\"processor time\" seconds=%llu advice=\"it ends then: start oched from a service "
                 "manager\"",
                 (unsigned long long)limit.rlim_max);
}

/* The method that was asked for, or epoll. */
static enum engine_method choose_method(enum engine_method wanted)
{
    int r = engine_method_probe(wanted);
    if (r == 0)
        return wanted;
    log_line(LOG_WARNING,
             "event=no-method wanted=%s method=%s error=\"%s\" errno=%d advice=\"io_uring needs Linux 6.1; see "
             "/proc/sys/kernel/io_uring_disabled, and what the container allows\"",
             engine_method_name(wanted), engine_method_name(ENGINE_EPOLL), errno_text(-r), -r);
    return ENGINE_EPOLL;
}

/* A daemon without a respawner serves, and hands over to whoever is started by hand. */
static void fork_respawner(struct server_parts *parts, char **argv, int background)
{
    const struct respawner_order order = {
        .argv = argv,
        .argument_count = parts->options->argument_count,
        .is_successor = parts->options->replace != REPLACE_NEVER,
        .log_path = parts->options->log_path,
        .background = background >= 0,
        .rendezvous = parts->rendezvous,
    };
    int r = respawner_fork(&order, &parts->respawner);
    if (r < 0)
        log_line(LOG_WARNING, "event=no-respawner error=\"%s\" errno=%d", errno_text(-r), -r);
}

/* As long as there are files. Without roots TLS goes on, for those who bring their own. */
static void read_roots(struct server_parts *parts)
{
    int r = tls_roots_init(&parts->tls_roots);
    if (r < 0)
        log_line(LOG_WARNING, "event=no-roots path=\"%s\" error=\"%s\" errno=%d", parts->tls_roots.path, errno_text(-r),
                 -r);
}

/* Everything after sandbox has begun; `background` is negative in the foreground. */
static int serve(struct server_parts *parts, struct sandbox *sandbox, int background)
{
    const struct options *options = parts->options;
    struct server *server = server_new(parts);
    if (!server)
        return EXIT_FAILED;
    /* Now that nothing can go wrong any more. */
    if (rendezvous_settle(parts->rendezvous) < 0) {
        server_free(server);
        return EXIT_FAILED;
    }
    if (options->replace != REPLACE_NEVER)
        log_line(LOG_INFO, "event=inherited listeners=%u", parts->inherited->count);
    if (background >= 0)
        background_ready(background);
    sandbox_finish(sandbox, !options->no_seccomp, parts->method == ENGINE_IO_URING);
    set_signals(SIG_UNBLOCK);
    int r = server_run(server);
    set_signals(SIG_BLOCK);
    server_free(server);
    return r < 0 ? EXIT_FAILED : EXIT_IN_ORDER;
}

/* Everything after the command line and the way to the background; the rendezvous is open. */
static int confine_and_serve(struct server_parts *parts, char **argv, int background)
{
    if (open_log(parts->options, parts->rendezvous) < 0)
        return EXIT_FAILED;
    if (parts->rendezvous->evicted > 0)
        log_line(LOG_WARNING, "event=evicted pid=%d why=\"it did not answer\"", (int)parts->rendezvous->evicted);
    warn_of_limit();
    read_roots(parts);
    parts->method = choose_method(parts->options->method);
    struct sandbox sandbox;
    sandbox_begin(&sandbox);
    fork_respawner(parts, argv, background);
    sandbox_leave_files(&sandbox, parts->rendezvous->address.sun_path, log_output_path());
    int status = EXIT_FAILED;
    if (rendezvous_listen(parts->rendezvous) == 0)
        status = serve(parts, &sandbox, background);
    if (parts->respawner.line >= 0)
        close(parts->respawner.line);
    if (parts->respawner.bell >= 0)
        close(parts->respawner.bell);
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    struct rendezvous rendezvous;
    struct handover_items inherited;
    int background = -1;

    background_open_streams();
    log_output_stream(STDERR_FILENO);
    int r = options_parse(&options, argc, argv);
    if (r != 0)
        return r == 1 ? EXIT_IN_ORDER : EXIT_USAGE;
    if (!options.foreground && (background = background_enter()) < 0)
        return EXIT_FAILED;

    /* What is made from here on is the user's. */
    if (options.user && user_become(options.user) < 0)
        return EXIT_FAILED;
    umask(077);
    /* A client that is gone is seen where it is written to, and so is a file that may not grow (RLIMIT_FSIZE). */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    set_signals(SIG_BLOCK);
    handover_items_init(&inherited);
    r = rendezvous_open(&rendezvous, options.socket_path, options.replace, &inherited);
    if (r != 0)
        return r == RENDEZVOUS_TAKEN ? EXIT_TAKEN : EXIT_FAILED;
    struct server_parts parts = {.options = &options, .rendezvous = &rendezvous, .inherited = &inherited};
    int status = confine_and_serve(&parts, argv, background);
    rendezvous_close(&rendezvous);
    handover_items_deinit(&inherited);
    return status;
}
