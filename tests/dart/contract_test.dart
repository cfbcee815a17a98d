/// The contract, call by call.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:ffi';
import 'dart:io';
import 'dart:typed_data';

import 'package:oche/src/bindings.dart';

import 'client.dart';
import 'peers.dart';
import 'refusals.dart';
import 'testing.dart';

const econnrefused = 111, econnreset = 104, eaddrinuse = 98, eaddrnotavail = 99;

Future<void> main(List<String> arguments) {
  connecting();
  listening();
  reading();
  writing();
  closing();
  gettersAndSetters();
  withSocketsOfDart();
  return runTests(arguments);
}

void connecting() {
  testClient('a refused connect completes with CONNECT_FAILED and ECONNREFUSED', (client) async {
    final (address, port) = await deadEnd();
    await expectFailure(client.connect(address, port), TCP_ERR_CONNECT_FAILED, osError: econnrefused);
  });

  testClient('source address and source port choose the local end', (client) async {
    final (source, sourcePort) = await deadEnd();
    final listener = await client.listen(loopback, 0);
    final port = client.localPort(listener);
    final accepted = client.accept(listener);
    final connected = await client.connect(loopback, port, source: source, sourcePort: sourcePort);
    expect(client.localAddress(connected), source, 'the local address');
    expect(client.localPort(connected), sourcePort, 'the local port');
    expect(client.remoteAddress(await accepted), source, 'what the other end sees');
    expect(client.remotePort(await accepted), sourcePort, 'the port that the other end sees');
  });

  testClient('a source that is not of this host completes with BIND_FAILED', (client) async {
    final elsewhere = InternetAddress('192.0.2.1'); // RFC 5737: of nobody
    await expectFailure(client.connect(loopback, 9, source: elsewhere), TCP_ERR_BIND_FAILED, osError: eaddrnotavail);
  });

  testClient('addresses and ports that are none are refused at once', (client) async {
    final six = InternetAddress.loopbackIPv6;
    await expectRefusal(client.connect(loopback, 9, source: six), TCP_ERR_INVALID_ADDRESS);
    for (final port in [0, -1, 65536, 1 << 32 | 80]) {
      await expectRefusal(client.connect(loopback, port), TCP_ERR_INVALID_ARGUMENT);
    }
    await expectRefusal(client.listen(loopback, -1), TCP_ERR_INVALID_ARGUMENT);
    await expectRefusal(client.listen(loopback, 65536), TCP_ERR_INVALID_ARGUMENT);
    for (final length in [0, 5, -4, 1 << 32 | 4]) {
      expect(tcp_connect(1, nullptr, length, 80, nullptr, 0, 0), TCP_ERR_INVALID_ADDRESS);
      expect(tcp_listen(1, nullptr, length, 80, false, 0, false), TCP_ERR_INVALID_ADDRESS);
    }
    expect(tcp_connect(1, nullptr, 4, 80, nullptr, 0, 0), TCP_ERR_INVALID_ARGUMENT);
    expect(tcp_listen(1, nullptr, 4, 80, false, 0, false), TCP_ERR_INVALID_ARGUMENT);
  });

  testClient('200 connections echo at once', (client) async {
    final listener = await client.listen(loopback, 0);
    final served = serveEcho(client, listener);
    final port = client.localPort(listener);
    await Future.wait([
      for (var i = 0; i < 200; i++)
        exchange(client, port, pattern(1000 + i, i)).then((answer) {
          expect(answer, pattern(1000 + i, i), 'the answer on connection $i');
        }),
    ]);
    await client.closeListener(listener);
    await served;
  });

  testClient('IPv6 works like IPv4', (client) async {
    await needIpv6();
    final six = InternetAddress.loopbackIPv6;
    final pair = await Pair.open(client, address: six);
    expect(client.localAddress(pair.listener), six, 'the address of the listener');
    expect(client.remoteAddress(pair.connected), six, 'the remote address');
    expect(client.remotePort(pair.accepted), client.localPort(pair.connected), 'the remote port');
    await client.write(pair.accepted, pattern(100));
    expect(await client.readExactly(pair.connected, 100), pattern(100));
  });
}

Future<void> needIpv6() async {
  try {
    await (await ServerSocket.bind(InternetAddress.loopbackIPv6, 0)).close();
  } on SocketException catch (exception) {
    throw Skip('no IPv6 here: ${exception.message}');
  }
}

void listening() {
  testClient('several accepts are served in the order in which they were made', (client) async {
    final listener = await client.listen(loopback, 0);
    final accepts = [for (var i = 0; i < 8; i++) client.accept(listener)];
    for (final accepted in accepts) {
      final connected = await client.connect(loopback, client.localPort(listener));
      expect(client.remotePort(await accepted), client.localPort(connected), 'the remote port');
    }
  });

  testClient('an address in use completes with BIND_FAILED and EADDRINUSE', (client) async {
    final listener = await client.listen(loopback, 0);
    await expectFailure(client.listen(loopback, client.localPort(listener)), TCP_ERR_BIND_FAILED, osError: eaddrinuse);
  });

  testClient('two shared listeners both get connections', (client) async {
    final first = await client.listen(loopback, 0, shared: true);
    final port = client.localPort(first);
    final second = await client.listen(loopback, port, shared: true);
    final both = Future.wait([client.accept(first), client.accept(second)]);
    var served = false;
    both.then((_) => served = true).ignore();
    for (var i = 0; i < 200 && !served; i++) {
      await client.connect(loopback, port);
    }
    await both;
  });

  testClient('an IPv6 listener takes IPv4 connections unless v6_only', (client) async {
    await needIpv6();
    for (final v6Only in [false, true]) {
      final listener = await client.listen(InternetAddress.anyIPv6, 0, v6Only: v6Only);
      final connecting = client.connect(loopback, client.localPort(listener));
      if (v6Only) {
        await expectFailure(connecting, TCP_ERR_CONNECT_FAILED, osError: econnrefused);
      } else {
        final accepted = client.accept(listener);
        await connecting;
        expect(client.remoteAddress(await accepted).address, '::ffff:127.0.0.1');
      }
    }
  });

  testClient('closing a listener leaves its connections alone', (client) async {
    final pair = await Pair.open(client);
    final accept = client.accept(pair.listener);
    final closed = client.closeListener(pair.listener);
    await expectFailure(accept, TCP_ERR_CLOSED);
    expect(await closed, 0);
    await client.write(pair.connected, utf8.encode('alive'));
    expect(utf8.decode(await client.read(pair.accepted)), 'alive');
  });

  testClient('closing a listener with force closes the connections it accepted', (client) async {
    final pair = await Pair.open(client), other = await Pair.open(client);
    final ended = [
      expectFailure(client.read(pair.accepted), TCP_ERR_CLOSED),
      expectFailure(client.read(pair.connected), TCP_ERR_CLOSED),
    ];
    final closed = client.closeListener(pair.listener, force: true);
    await Future.wait(ended);
    expect(await closed, 0);
    expectAllRefused(pair.accepted, TCP_ERR_INVALID_HANDLE);
    await client.write(other.connected, utf8.encode('alive'));
    expect(utf8.decode(await client.read(other.accepted)), 'alive');
  });

  testClient('calls for the other kind of socket are refused', (client) async {
    final pair = await Pair.open(client);
    await expectRefusal(client.read(pair.listener), TCP_ERR_INVALID_HANDLE);
    await expectRefusal(client.write(pair.listener, Uint8List(1)), TCP_ERR_INVALID_HANDLE);
    await expectRefusal(client.close(pair.listener), TCP_ERR_INVALID_HANDLE);
    await expectRefusal(client.accept(pair.connected), TCP_ERR_INVALID_HANDLE);
    await expectRefusal(client.closeListener(pair.connected), TCP_ERR_INVALID_HANDLE);
  });
}

void reading() {
  testClient('the end of the stream completes a read with CLOSED, and writing goes on', (client) async {
    final pair = await Pair.open(client);
    await client.write(pair.connected, utf8.encode('last words'));
    expect(await client.closeWrite(pair.connected), 0);
    expect(utf8.decode(await client.read(pair.accepted)), 'last words');
    await expectFailure(client.read(pair.accepted), TCP_ERR_CLOSED, osError: 0);
    await expectFailure(client.read(pair.accepted), TCP_ERR_CLOSED, osError: 0);
    await client.write(pair.accepted, utf8.encode('an answer'));
    expect(utf8.decode(await client.read(pair.connected)), 'an answer');
  });

  testClient('a reset completes the pending read with READ_FAILED and ECONNRESET', (client) async {
    final mixed = await Mixed.open(client);
    final failed = expectFailure(client.read(mixed.handle), TCP_ERR_READ_FAILED, osError: econnreset);
    await mixed.reset();
    await failed;
  });

  testClient('a second read is refused while one is pending, which goes on', (client) async {
    final pair = await Pair.open(client);
    final read = client.read(pair.accepted);
    await expectRefusal(client.read(pair.accepted), TCP_ERR_INVALID_ARGUMENT);
    await client.write(pair.connected, utf8.encode('for the first'));
    expect(utf8.decode(await read), 'for the first');
    final next = client.read(pair.accepted);
    await client.write(pair.connected, utf8.encode('for the next'));
    expect(utf8.decode(await next), 'for the next');
  });
}

void writing() {
  testClient('a small message comes back from an echo', (client) async {
    final listener = await client.listen(loopback, 0);
    final served = serveEcho(client, listener);
    final answer = await exchange(client, client.localPort(listener), utf8.encode('180'));
    expect(utf8.decode(answer), '180');
    await client.closeListener(listener);
    await served;
  });

  testClient('1 MiB comes back from an echo with the same checksum', (client) async {
    final listener = await client.listen(loopback, 0);
    final served = serveEcho(client, listener);
    final bytes = pattern(1 << 20);
    final answer = await exchange(client, client.localPort(listener), bytes);
    expect(answer.length, bytes.length, 'the length');
    expect(checksum(answer), checksum(bytes), 'the checksum');
    await client.closeListener(listener);
    await served;
  });

  testClient('several writes in flight arrive whole and in order', (client) async {
    final pair = await Pair.open(client);
    final sent = BytesBuilder();
    final writes = <Future<int>>[];
    for (var i = 0; i < 100; i++) {
      final bytes = pattern(i * 997, i);
      sent.add(bytes);
      writes.add(client.write(pair.connected, bytes));
    }
    final end = client.closeWrite(pair.connected);
    final received = await client.readAll(pair.accepted);
    expect(await Future.wait(writes), [for (var i = 0; i < 100; i++) i * 997], 'the results');
    expect(await end, 0);
    expect(received.length, sent.length, 'the length');
    expect(checksum(received), checksum(sent.takeBytes()), 'the checksum');
  });

  testClient('a write waits for a peer that does not read, and then arrives whole', (client) async {
    final pair = await Pair.open(client);
    final bytes = pattern(24 << 20);
    var written = false;
    final write = client.write(pair.connected, bytes).whenComplete(() => written = true);
    // More than the kernel holds; what comes later on the other way does not wait for it.
    await client.write(pair.accepted, utf8.encode('the other way'));
    expect(utf8.decode(await client.read(pair.connected)), 'the other way');
    expect(written, false, 'completion of the write');
    expect(checksum(await client.readExactly(pair.accepted, bytes.length)), checksum(bytes));
    expect(await write, bytes.length);
  });

  testClient('a write sends the chosen bytes, as they were when it was called', (client) async {
    final pair = await Pair.open(client);
    final bytes = utf8.encode('double twenty, please');
    final write = client.write(pair.connected, bytes, offset: 7, count: 6);
    bytes.fillRange(0, bytes.length, 0);
    expect(await write, 6);
    expect(utf8.decode(await client.read(pair.accepted)), 'twenty');
  });

  testClient('a write sends from a view of a list, and what was read as it is', (client) async {
    final pair = await Pair.open(client);
    await client.write(pair.connected, Uint8List.sublistView(pattern(3000), 1000, 2000));
    final read = await client.readExactly(pair.accepted, 1000);
    await client.write(pair.accepted, Uint8List.sublistView(read, 500));
    final expected = Uint8List.sublistView(pattern(3000), 1500, 2000);
    expect(await client.readExactly(pair.connected, 500), expected);
  });

  testClient('a write of nothing completes with 0', (client) async {
    final pair = await Pair.open(client);
    expect(await client.write(pair.connected, Uint8List(0)), 0);
  });

  testClient('a write of what is not there is refused', (client) async {
    final pair = await Pair.open(client);
    expect(tcp_write(1, pair.connected, nullptr, 0, 1), TCP_ERR_INVALID_ARGUMENT, 'no data');
    final one = Uint8List(1);
    expect(tcp_write(1, pair.connected, one.address, -1, 1), TCP_ERR_INVALID_ARGUMENT, 'before');
    expect(tcp_write(1, pair.connected, one.address, 0, -1), TCP_ERR_INVALID_ARGUMENT, 'negative');
  });

  testClient('a write to a connection that was reset completes with WRITE_FAILED', (client) async {
    final mixed = await Mixed.open(client);
    final failed = expectFailure(client.read(mixed.handle), TCP_ERR_READ_FAILED);
    await mixed.reset();
    await failed;
    await expectFailure(client.write(mixed.handle, Uint8List(1)), TCP_ERR_WRITE_FAILED);
  });

  testClient('a write after tcp_close_write completes with WRITE_FAILED', (client) async {
    final pair = await Pair.open(client);
    await client.closeWrite(pair.connected);
    await expectFailure(client.write(pair.connected, Uint8List(1)), TCP_ERR_WRITE_FAILED);
  });
}

void closing() {
  testClient('close completes the pending read with CLOSED, and the peer sees the end', (client) async {
    final pair = await Pair.open(client);
    final read = client.read(pair.connected);
    final closed = client.close(pair.connected);
    await expectFailure(read, TCP_ERR_CLOSED);
    expect(await closed, 0);
    await expectFailure(client.read(pair.accepted), TCP_ERR_CLOSED);
  });

  testClient('close completes unfinished writes with CLOSED', (client) async {
    final pair = await Pair.open(client);
    final write = client.write(pair.connected, Uint8List(24 << 20));
    final closed = client.close(pair.connected);
    await expectFailure(write, TCP_ERR_CLOSED);
    expect(await closed, 0);
  });

  testClient('a closed handle is refused, and is not used again', (client) async {
    final closed = <int>{};
    final listener = await client.listen(loopback, 0);
    for (var i = 0; i < 50; i++) {
      final accepted = client.accept(listener);
      final connected = await client.connect(loopback, client.localPort(listener));
      for (final handle in [connected, await accepted]) {
        expectTrue(closed.add(handle), 'the handle $handle is new');
        final ending = client.close(handle);
        expectAllRefused(handle, TCP_ERR_INVALID_HANDLE);
        await ending;
        expectAllRefused(handle, TCP_ERR_INVALID_HANDLE);
      }
    }
  });

  testClient('handles that were made up are refused, and harm nobody', (client) async {
    final pair = await Pair.open(client);
    const smallest = -0x8000000000000000, largest = 0x7fffffffffffffff;
    for (final handle in [0, -1, 1, smallest, largest, pair.connected + (1 << 39)]) {
      expectAllRefused(handle, TCP_ERR_INVALID_HANDLE);
    }
    await client.write(pair.connected, utf8.encode('unharmed'));
    expect(utf8.decode(await client.read(pair.accepted)), 'unharmed');
  });
}

void gettersAndSetters() {
  testClient('addresses and ports are those of the two ends', (client) async {
    final pair = await Pair.open(client);
    expect(client.localAddress(pair.listener), loopback, 'the address of the listener');
    expect(client.localAddress(pair.connected), loopback, 'the local address');
    expect(client.remoteAddress(pair.connected), loopback, 'the remote address');
    expect(client.remotePort(pair.connected), client.localPort(pair.listener));
    expect(client.localPort(pair.accepted), client.localPort(pair.listener));
    expect(client.remotePort(pair.accepted), client.localPort(pair.connected));
    expect(tcp_get_remote_port(pair.listener), TCP_ERR_INVALID_HANDLE, 'what a listener has not');
    expect(tcp_get_local_address(pair.connected, nullptr), TCP_ERR_INVALID_ARGUMENT, 'no place');
  });

  testClient('keep-alive and no-delay are off at first and can be changed', (client) async {
    final pair = await Pair.open(client);
    for (final (name, get, set) in [
      ('keep-alive', tcp_get_keep_alive, tcp_set_keep_alive),
      ('no-delay', tcp_get_no_delay, tcp_set_no_delay),
    ]) {
      for (final handle in [pair.connected, pair.accepted]) {
        expect(get(handle), 0, '$name at first');
        expect(set(handle, true), 0, 'setting $name');
        expect(get(handle), 1, '$name after it was set');
      }
      expect(set(pair.connected, false), 0, 'clearing $name');
      expect(get(pair.connected), 0, '$name after it was cleared');
      expect(get(pair.accepted), 1, '$name of the other end');
      expect(set(pair.listener, true), TCP_ERR_INVALID_HANDLE, '$name of a listener');
    }
  });
}

void withSocketsOfDart() {
  testClient('a socket of dart:io talks to a listener of oche', (client) async {
    final listener = await client.listen(loopback, 0);
    final served = serveEcho(client, listener);
    final socket = await Socket.connect(loopback, client.localPort(listener));
    final answer = socket.fold(BytesBuilder(), (bytes, data) => bytes..add(data));
    final bytes = pattern(1 << 20);
    socket.add(bytes);
    await socket.close();
    expect(checksum((await answer).takeBytes()), checksum(bytes));
    await client.closeListener(listener);
    await served;
  });

  testClient('a connection of oche talks to a server of dart:io', (client) async {
    final server = await ServerSocket.bind(loopback, 0);
    final served = server.first.then((socket) async {
      expect(socket.remoteAddress, loopback, 'the address that the server sees');
      final port = socket.remotePort;
      await socket.addStream(socket);
      await socket.close();
      return port;
    });
    final connection = await client.connect(loopback, server.port);
    final bytes = pattern(1 << 20);
    final answer = client.readAll(connection);
    await client.write(connection, bytes);
    await client.closeWrite(connection);
    expect(checksum(await answer), checksum(bytes));
    expect(await served, client.localPort(connection), 'the port that the server sees');
  });

  testClient('an HTTP server of dart:io answers a request through oche', (client) async {
    final server = await HttpServer.bind(loopback, 0);
    server.listen(
      (request) => request.response
        ..write('you asked for ${request.uri}')
        ..close(),
    );
    final request = 'GET /the/board HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    final connection = await client.connect(loopback, server.port);
    await client.write(connection, ascii.encode(request));
    final answer = ascii.decode(await client.readAll(connection));
    expectTrue(answer.startsWith('HTTP/1.1 200 OK\r\n'), 'it starts as it should: $answer');
    expectTrue(answer.contains('you asked for /the/board'), 'it has the text: $answer');
    await server.close();
  });
}
