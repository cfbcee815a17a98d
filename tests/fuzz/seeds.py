#!/usr/bin/env python3
"""Writes the inputs that fuzzing the daemon begins with, corpus/daemon_*/seed-*: short plays in which everybody behaves.

Run it after a change to the encoding, which is what daemon_stage.c and requests.c read.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# Lengths above 239; see input_length().
LENGTHS = [255, 256, 1024, 4095, 4096, 4097, 16383, 16384, 65535, 65536, 65537, 131072, 262143, 262144, 262145, 300000]
HELLO, CONNECT, LISTEN, ACCEPT, READ, WRITE, CLOSE_WRITE, CLOSE, LISTENER_CLOSE, SET_OPTION, STATISTICS = range(1, 12)
CANCEL = 13
ABORT = 15
GET_OPTION = 16


def length(number):
    return bytes([number if number < 240 else 240 + LENGTHS.index(number)])


def request(opcode, *rest, number=1):
    return bytes([0, opcode | number << 4, *rest])


def hello():
    return request(HELLO, 0)


def connect(how=0, number=1):
    return request(CONNECT, how, number=number)


def listen(how=0):
    return request(LISTEN, how)


def accept(slot, number=1):
    return request(ACCEPT, slot, number=number)


def read(slot, credit):
    return bytes([0, READ | 1 << 4]) + length(credit) + bytes([slot])


def write(slot, count, more=False, number=1):
    return bytes([0, WRITE | number << 4]) + length(count) + bytes([2 if more else 0, slot])


def peer(act, number=0):
    names = ["connect", "accept", "send", None, "receive", "shut", "close", "reset"]
    return bytes([3, names.index(act) | number << 3])


def peer_connect(listener=0, number=0):
    return peer("connect", number) + bytes([listener])


def peer_send(count, number=0):
    return peer("send", number) + length(count)


def take():
    return bytes([4])


def misuse(act, *rest):
    return bytes([5, act, *rest])


def rarely(act, argument=0):
    names = ["hang_up", "shut_write", "shut_read", "drain", "is_drained", "limit"]
    return bytes([6, names.index(act) | argument << 3])


MADE = connect() + peer("accept")
LISTENS = listen() + take()
PORT = b"\x71\x17\0\0"

PLAYS = {
    "echo": MADE + read(0, 65536) + peer_send(200) + take() + write(0, 200) + peer("receive") + peer("shut") + take()
    + request(CLOSE_WRITE, 0) + request(CLOSE, 0) + take(),
    "accept": LISTENS + accept(0) + peer_connect() + take() + peer_connect(number=1) + accept(0, 2) + read(1, 4096)
    + peer_send(1024) + take() + request(LISTENER_CLOSE, 1, 0) + take(),
    "accept6": listen(1) + accept(0) + peer_connect() + take() + connect(1) + accept(0) + take(),
    "options": MADE + request(SET_OPTION, 5, 0) + request(SET_OPTION, 6, 0) + request(STATISTICS) + take(),
    "raw-options": MADE + request(SET_OPTION, 0x43, 0) + b"\0\x20\0\0\0" + request(0, GET_OPTION, 0, 8, 0)
    + request(0, GET_OPTION, 2, 8, 0) + request(SET_OPTION, 0x43, 7, 1, 25) + b"\1\0\0\0\0" + take(),
    "shared": listen(0x50) + PORT + listen(0x50) + PORT + take() + accept(0) + accept(1) + peer_connect() + take()
    + request(LISTENER_CLOSE, 0, 0) + peer_connect() + take() + listen(0x58) + PORT + accept(1) + take(),
    "bulk": MADE + (read(0, 300000) + peer_send(300000) + take()) * 12,
    "release": MADE + (read(0, 300000) + peer_send(300000) + take() + misuse(4) + misuse(10)) * 6,
    "pestered": MADE + (read(0, 300000) + peer_send(300000) + misuse(5) + misuse(2)) * 8 + misuse(0, 2, 1, 0, 0, 0),
    "kept": MADE + (read(0, 300000) + peer_send(300000)) * 40 + take() * 9 + misuse(4) * 9 + peer_send(300000) * 5,
    "congested": MADE + read(0, 300000) * 20 + peer_send(300000) * 90 + take() * 30 + peer_send(300000) * 9,
    "back-pressure": MADE + write(0, 262144) * 7 + request(CLOSE_WRITE, 0) + peer("receive") * 40 + take(),
    "long-write": MADE + write(0, 65536, True) + write(0, 65536, True) + write(0, 100) + peer("receive") * 5 + take(),
    "broken": MADE + write(0, 262144) * 3 + read(0, 4096) + peer("reset") + take() + write(0, 5) + take(),
    "closed-early": MADE + write(0, 262144) * 3 + read(0, 100) + request(CLOSE, 0) + take(),
    "closed-behind": MADE + write(0, 65536) * 8 + request(CLOSE_WRITE, 0) + request(CLOSE, 0) + take(),
    "aborted": MADE + write(0, 262144) * 3 + read(0, 100) + request(CLOSE_WRITE, 0) + request(ABORT, 0) + take(),
    "sent-after-close": MADE + write(0, 262144) * 3 + request(CLOSE_WRITE, 0) + request(CLOSE, 0) + MADE
    + write(0, 100) + peer("receive") * 30 + take(),
    "lingers-on": MADE + write(0, 262144) * 3 + request(CLOSE, 0) + rarely("hang_up") + peer("receive") * 30,
    "lingers-and-drains": MADE + write(0, 262144) * 3 + request(CLOSE, 0) + rarely("drain") + rarely("is_drained")
    + peer("receive") * 30 + rarely("is_drained"),
    "unheard": MADE + read(0, 65536) + rarely("shut_read") + peer_send(1024) + write(0, 100) * 20 + rarely("shut_write"),
    "linger": MADE + write(0, 262144) * 4 + rarely("hang_up") + peer("receive") * 30,
    "linger-and-reset": MADE + write(0, 262144) * 4 + rarely("hang_up") + peer("receive") + peer("reset"),
    "linger-on": MADE + write(0, 65536) * 8 + rarely("hang_up") + peer("receive") * 40,
    "drain": MADE + LISTENS + accept(1) + write(0, 262144) * 4 + rarely("drain") + rarely("is_drained")
    + peer("receive") * 30 + rarely("is_drained"),
    "starved": LISTENS + rarely("limit") + accept(0) + peer_connect() + rarely("limit", 12) + MADE + request(CLOSE, 1)
    + take(),
    "full": (connect() + peer("accept")) * 13 + request(CLOSE, 2) + connect() + take(),
    "refused": connect(0x40) + b"\1\0\0\0" + take() + connect(0x80) + connect(0x81) + listen(2) + listen(6) + take(),
    "cancelled": bytes([0x80]) + connect()[1:] + request(CANCEL, 1) + take(),
    "source": connect(0x08) + connect(0x10) + b"\0\0\0\0" + connect(0x38) + b"\5\0\0\0" + take(),
    "half-deaf": MADE + read(0, 65536) + rarely("shut_read") + peer_send(1024) + write(0, 100) + request(CLOSE, 0),
}


def main():
    if len(sys.argv) > 1:
        print(__doc__)
        return
    for target, before in ("daemon_plain", hello()), ("daemon_memory", b""):
        directory = os.path.join(HERE, "corpus", target)
        os.makedirs(directory, exist_ok=True)
        for name, play in PLAYS.items():
            with open(os.path.join(directory, "seed-" + name), "wb") as file:
                file.write(before + play)


main()
