/* Compiled as strict C11, with the public headers first and alone: they must stand by themselves. */
#include <oche/tcp_socket.h>

#include <oche/oche.h>

#include "tests/behaviour/public_headers.h"

#define F(name)                                                                                                        \
    {                                                                                                                  \
#name, (void (*)(void))name                                                                                    \
    }

const struct public_function public_functions[] = {
    F(tcp_init),
    F(tcp_destroy),
    F(tcp_connect),
    F(tcp_read),
    F(tcp_write),
    F(tcp_close_write),
    F(tcp_close),
    F(tcp_listen),
    F(tcp_accept),
    F(tcp_listener_close),
    F(tcp_get_local_address),
    F(tcp_get_remote_address),
    F(tcp_get_local_port),
    F(tcp_get_remote_port),
    F(tcp_get_keep_alive),
    F(tcp_get_no_delay),
    F(tcp_set_keep_alive),
    F(tcp_set_no_delay),
    F(oche_version),
    F(oche_error_name),
    F(oche_error_text),
    F(oche_last_error),
    F(oche_session_open),
    F(oche_session_close),
    F(oche_session_get_fd),
    F(oche_session_dispatch),
    F(oche_session_reopen),
    F(oche_session_pop),
    F(oche_data_free),
    F(oche_data_source),
    F(oche_datagram),
    F(oche_connect),
    F(oche_listen),
    F(oche_cancel),
    F(oche_limit),
    F(oche_accept),
    F(oche_abort),
    F(oche_read),
    F(oche_send),
    F(oche_write),
    F(oche_close_write),
    F(oche_close),
    F(oche_listener_close),
    F(oche_set_keep_alive),
    F(oche_set_no_delay),
    F(oche_set_option),
    F(oche_get_option),
    F(oche_get_local),
    F(oche_get_remote),
    F(oche_get_keep_alive),
    F(oche_get_no_delay),
    F(oche_get_statistics),
    F(oche_isolate_enable),
    F(oche_isolate_connect),
    F(oche_isolate_listen),
    F(oche_isolate_cancel),
    F(oche_isolate_limit),
    F(oche_isolate_abort),
    F(oche_isolate_ahead),
    F(oche_isolate_take),
    F(oche_isolate_set_keep_alive),
    F(oche_isolate_set_no_delay),
    F(oche_isolate_open),
    F(oche_isolate_open_error),
    F(oche_isolate_set_option),
    F(oche_isolate_get_option),
    F(oche_isolate_get_local_address),
    F(oche_isolate_get_remote_address),
    F(oche_isolate_guard),
    F(oche_isolate_release),
    {0, 0},
};

#define C(name)                                                                                                        \
    {                                                                                                                  \
#name, name                                                                                                    \
    }

const struct public_code public_codes[] = {
    C(TCP_ERR_INVALID_HANDLE),
    C(TCP_ERR_INVALID_ADDRESS),
    C(TCP_ERR_CONNECT_FAILED),
    C(TCP_ERR_BIND_FAILED),
    C(TCP_ERR_LISTEN_FAILED),
    C(TCP_ERR_ACCEPT_FAILED),
    C(TCP_ERR_READ_FAILED),
    C(TCP_ERR_WRITE_FAILED),
    C(TCP_ERR_CLOSED),
    C(TCP_ERR_SOCKET_OPTION),
    C(TCP_ERR_NOT_INITIALIZED),
    C(TCP_ERR_OUT_OF_MEMORY),
    C(TCP_ERR_INVALID_ARGUMENT),
    C(TCP_ERR_DAEMON_LOST),
    C(TCP_ERR_DAEMON_UNAVAILABLE),
    C(TCP_ERR_TIMED_OUT),
    C(TCP_ERR_QUOTA),
    C(TCP_ERR_PROTOCOL),
    {0, 0},
};
