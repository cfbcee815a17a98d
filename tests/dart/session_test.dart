/// The session of an isolate, and the messages that it gets.
library;

import 'dart:convert';
import 'dart:ffi';
import 'dart:isolate';
import 'dart:typed_data';

import 'package:oche/src/bindings.dart';

import 'client.dart';
import 'peers.dart';
import 'refusals.dart';
import 'testing.dart';

Future<void> main(List<String> arguments) {
  sessions(); // first, because the first of them needs a process that has not called tcp_init
  messages();
  return runTests(arguments);
}

/// The calls that look for the isolate's session, not for a handle's.
void expectNoSession() {
  expect(tcp_connect(1, nullptr, 4, 80, nullptr, 0, 0), TCP_ERR_NOT_INITIALIZED, 'tcp_connect');
  expect(tcp_listen(1, nullptr, 4, 0, false, 0, false), TCP_ERR_NOT_INITIALIZED, 'tcp_listen');
  expect(tcp_destroy(), TCP_ERR_NOT_INITIALIZED, 'tcp_destroy');
  expect(oche_isolate_enable(0), TCP_ERR_NOT_INITIALIZED, 'oche_isolate_enable');
}

void sessions() {
  test('before tcp_init every call is refused with NOT_INITIALIZED', () async {
    expectNoSession();
    expectAllRefused(1, TCP_ERR_NOT_INITIALIZED);
  });

  test('tcp_init refuses what is not the data of a Dart VM, and says why', () async {
    final port = RawReceivePort();
    expect(tcp_init(nullptr, port.sendPort.nativePort), TCP_ERR_INVALID_ARGUMENT);
    expectTrue(string(oche_last_error()).contains('initializeApiDLData'), 'it says what it needs');
    expect(tcp_init(NativeApi.initializeApiDLData, 0), TCP_ERR_INVALID_ARGUMENT);
    expectNoSession();
    port.close();
  });

  testClient('tcp_init again with the same port changes nothing', (client) async {
    final pair = await Pair.open(client);
    final data = client.read(pair.accepted);
    expect(tcp_init(NativeApi.initializeApiDLData, client.nativePort), 0);
    await client.write(pair.connected, utf8.encode('still here'));
    expect(utf8.decode(await data), 'still here');
  });

  test('tcp_init with another port ends the session and begins one there', () async {
    final first = Client.open();
    final pair = await Pair.open(first);
    final closed = expectFailure(first.read(pair.accepted), TCP_ERR_CLOSED);
    final second = Client.open();
    await closed;
    expectAllRefused(pair.accepted, TCP_ERR_INVALID_HANDLE);
    await Pair.open(second);
    await second.destroy();
    expectNoSession();
    first.dispose();
  });

  testClient('tcp_destroy completes what is pending with CLOSED', (client) async {
    final pair = await Pair.open(client);
    final ended = [
      expectFailure(client.read(pair.connected), TCP_ERR_CLOSED),
      expectFailure(client.accept(pair.listener), TCP_ERR_CLOSED),
    ];
    expect(tcp_destroy(), 0);
    await Future.wait(ended);
    expect(tcp_init(NativeApi.initializeApiDLData, client.nativePort), 0);
    await Pair.open(client);
  });

  testClient('after tcp_destroy nothing is posted, and the peer sees the end', (client) async {
    final mixed = await Mixed.open(client);
    final closed = expectFailure(client.read(mixed.handle), TCP_ERR_CLOSED);
    expect(tcp_destroy(), 0);
    mixed.socket.write(utf8.encode('anybody?')); // a second message about the read would fail the test
    await closed;
    await mixed.ended();
    await mixed.socket.close();
    expect(tcp_init(NativeApi.initializeApiDLData, client.nativePort), 0);
    await Pair.open(client);
  });

  test('after tcp_destroy every call is refused with NOT_INITIALIZED', () async {
    final client = Client.open();
    final pair = await Pair.open(client);
    await client.destroy();
    expectNoSession();
    expectAllRefused(pair.connected, TCP_ERR_NOT_INITIALIZED);
    expectAllRefused(pair.listener, TCP_ERR_NOT_INITIALIZED);
  });

  test('a handle from before tcp_destroy is refused by the next session', () async {
    final before = Client.open();
    final old = await Pair.open(before);
    await before.destroy();
    final client = Client.open();
    final pair = await Pair.open(client);
    expectAllRefused(old.connected, TCP_ERR_INVALID_HANDLE);
    expectAllRefused(old.listener, TCP_ERR_INVALID_HANDLE);
    await client.write(pair.connected, utf8.encode('new'));
    expect(utf8.decode(await client.read(pair.accepted)), 'new');
    await client.destroy();
  });

  test('a hundred sessions, one after the other', () async {
    for (var i = 0; i < 100; i++) {
      final client = Client.open();
      await Pair.open(client);
      await client.destroy();
    }
  });
}

void messages() {
  testClient('a completion is a list of request id, result and null', (client) async {
    final pair = await Pair.open(client);
    final message = await client.message((id) => tcp_close_write(id, pair.connected), id: 7);
    expect(message, [7, 0, null], 'the message');
  });

  testClient('a completed read brings a Uint8List as long as the result', (client) async {
    final pair = await Pair.open(client);
    await client.write(pair.connected, pattern(1000));
    final message = await client.message((id) => tcp_read(id, pair.accepted));
    expect(message.length, 3, 'the length of the message');
    expect(message[1], 1000, 'the result');
    final data = message[2];
    if (data is! Uint8List) throw Failure('the data is ${data.runtimeType}');
    expect(data, pattern(1000), 'the data');
    expect(data.buffer.lengthInBytes, 1000, 'the length of the buffer');
    data[999] = 180;
    expect(data[999], 180, 'a byte that was changed');
  });

  testClient('a request id may be any 64-bit number, and twice the same', (client) async {
    final pair = await Pair.open(client);
    const smallest = -0x8000000000000000, largest = 0x7fffffffffffffff;
    for (final id in [0, -1, 1 << 31, -(1 << 32), smallest, largest, largest]) {
      final message = await client.message((id) => tcp_write(id, pair.connected, nullptr, 0, 0), id: id);
      expect(message, [id, 0, null], 'the message');
    }
  });

  testClient('a failure has errno in its message only if that is asked for', (client) async {
    final pair = await Pair.open(client);
    await client.closeWrite(pair.connected);
    Future<List<Object?>> readTheEnd() => client.message((id) => tcp_read(id, pair.accepted), id: 5);

    expect(oche_isolate_enable(0), 0);
    expect(await readTheEnd(), [5, TCP_ERR_CLOSED, null], 'the message without detail');
    expect(oche_isolate_enable(OCHE_FEATURE_ERROR_DETAIL), 0);
    expect(await readTheEnd(), [5, TCP_ERR_CLOSED, 0], 'the message with detail');
    expect(oche_isolate_enable(1 << 40), TCP_ERR_INVALID_ARGUMENT, 'to enable what there is not');
    expect(await readTheEnd(), [5, TCP_ERR_CLOSED, 0], 'the message after that');
  });

  test('every code has a name and a text', () async {
    for (var code = TCP_ERR_PROTOCOL; code <= TCP_ERR_INVALID_HANDLE; code++) {
      final name = string(oche_error_name(code)), text = string(oche_error_text(code));
      expectTrue(name.startsWith('TCP_ERR_') && name != 'TCP_ERR_UNKNOWN', '$code is named: $name');
      expectTrue(text.isNotEmpty, '$name has a text');
    }
    expect(string(oche_error_name(-1000)), 'TCP_ERR_UNKNOWN');
  });
}
