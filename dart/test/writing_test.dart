/// Writing to connections: what goes out, in which order, and how writers are held back.
library;

import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

import 'package:oche/oche.dart';

import 'support/children.dart';
import 'support/daemon.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) async {
  await prepareProgram('crowd.dart');
  ranges();
  order();
  room();
  ending();
  return runTests(arguments);
}

void ranges() {
  test('a write takes bytes from a place on, or so many', () async {
    final pair = await Pair.open();
    final bytes = pattern(100);
    await pair.connected.write(bytes);
    await pair.connected.write(bytes, 90);
    await pair.connected.write(bytes, 10, 5);
    await pair.connected.write(bytes, 100);
    await pair.connected.write(bytes, 0, 0);
    await pair.connected.write(bytes, 99, 1);
    await pair.connected.close();
    expect(await readAll(pair.accepted), [...bytes, ...bytes.sublist(90), ...bytes.sublist(10, 15), bytes[99]],
        'what came');
    await pair.close();
  });

  test('a range that the bytes do not have is an error of the program', () async {
    final pair = await Pair.open();
    final bytes = pattern(100);
    for (final (offset, count) in [(-1, null), (101, null), (0, 101), (50, 51), (50, -1), (-1, 1)]) {
      await failureOf<RangeError>(() => pair.connected.write(bytes, offset, count));
    }
    await expectEcho(pair.connected, pair.accepted);
    await pair.close();
  });

  test('lists of all kinds can be written', () async {
    final pair = await Pair.open();
    await pair.connected.write([1, 2, 3]);
    await pair.connected.write(const [4, 256 + 5, -250], 1);
    await pair.connected.write(Uint8ClampedList.fromList([7, 8, 9]), 0, 2);
    await pair.connected.write(Uint8List.sublistView(pattern(100), 10, 20), 2);
    await pair.connected.write(pattern(3).asUnmodifiableView());
    await pair.connected.close();
    expect(await readAll(pair.accepted), [1, 2, 3, 5, 6, 7, 8, ...pattern(100).sublist(12, 20), ...pattern(3)],
        'what came');
    await pair.close();
  });

  test('what was read can be written', () async {
    final pair = await Pair.open();
    await pair.connected.write(pattern(1000));
    await pair.accepted.write(await readExactly(pair.accepted, 1000), 500);
    expect(await readExactly(pair.connected, 500), pattern(1000).sublist(500), 'what came back');
    await pair.close();
  });
}

void order() {
  test('20000 small writes arrive in their order', () async {
    final pair = await Pair.open();
    final sum = pair.accepted.stream.fold(1, (sum, data) => checksum(data, sum));
    var expected = 1;
    for (var i = 0; i < 20000; i++) {
      final bytes = pattern(1 + i % 50, i);
      expected = checksum(bytes, expected);
      final written = pair.connected.write(bytes);
      if (i % 100 == 0) await written;
    }
    await pair.connected.closeWrite();
    expect(await sum, expected, 'the checksum');
    await pair.close();
  });

  test('writes of all sizes arrive in their order, whether anybody waits or not', () async {
    final pair = await Pair.open();
    final sum = pair.accepted.stream.fold(1, (sum, data) => checksum(data, sum));
    var expected = 1;
    for (var i = 0; i < 60; i++) {
      final bytes = pattern(const [1, 100, 16384, 131072, 131073, 700000][i % 6] + i, i);
      expected = checksum(bytes, expected);
      final written = pair.connected.write(bytes);
      if (i % 7 == 0) await written;
    }
    await pair.connected.closeWrite();
    expect(await sum, expected, 'the checksum');
    await pair.close();
  });

  test('both ends write at once', () async {
    final pair = await Pair.open();
    final bytes = pattern(8 << 20);
    Future<int> exchange(Connection connection) async {
      unawaited(connection.write(bytes));
      unawaited(connection.closeWrite());
      return connection.stream.fold<int>(1, (sum, data) => checksum(data, sum));
    }

    expect(await Future.wait([exchange(pair.connected), exchange(pair.accepted)]), [checksum(bytes), checksum(bytes)],
        'the checksums');
    await pair.close();
  });
}

void room() {
  // As much as the system may hold for a connection whose receiver has little room, and much more than that.
  const held = 12 << 20, total = 32 << 20;

  test('a program that waits for its writes holds little for a peer that is slow', () async {
    final mixed = await Mixed.open();
    mixed.peer.narrow();
    final piece = pattern(64 << 10);
    var written = 0, most = 0, sum = 1;
    Future<void> write() async {
      while (written < total) {
        written += piece.length;
        await mixed.connection.write(piece);
      }
    }

    final writing = write();
    for (var read = 0; read < total; read += 256 << 10) {
      if (written - mixed.peer.received > most) most = written - mixed.peer.received;
      await mixed.peer.receive(read + (256 << 10));
    }
    await writing;
    for (var i = 0; i < total; i += piece.length) {
      sum = checksum(piece, sum);
    }
    expect(mixed.peer.sum, sum, 'the checksum');
    expectTrue(most < held, 'less than $held bytes were on their way, namely $most');
    await mixed.close();
  });

  test('a large write completes when little of it is left', () async {
    final mixed = await Mixed.open();
    mixed.peer.narrow();
    final bytes = pattern(total);
    var receivedThen = -1;
    final write = mixed.connection.write(bytes).then((_) => receivedThen = mixed.peer.received);
    await letOthersGoOn();
    expect(receivedThen, -1, 'what had come when it completed, which it has not');
    await mixed.peer.receive(total);
    await write;
    expectTrue(receivedThen > total - held, 'most has come when it completes: $receivedThen');
    expect(mixed.peer.sum, checksum(bytes), 'the checksum');
    await mixed.close();
  });

  test('a write that finds room completes though the peer reads nothing', () async {
    final mixed = await Mixed.open();
    await mixed.connection.write(pattern(400 << 10));
    expect(mixed.peer.received, 0, 'what came');
    await mixed.peer.receive(400 << 10);
    expect(mixed.peer.sum, checksum(pattern(400 << 10)), 'the checksum');
    await mixed.close();
  });

  test('one connection whose peer is slow does not hold up another', () async {
    final slow = await Mixed.open(), pair = await Pair.open();
    slow.peer.narrow();
    var done = false;
    final write = slow.connection.write(pattern(total)).whenComplete(() => done = true);
    for (var i = 0; i < 100; i++) {
      await expectEcho(pair.connected, pair.accepted, i);
    }
    expect(done, false, 'completion of the write');
    await slow.peer.receive(total);
    await write;
    await pair.close();
    await slow.close();
  });

  test('connections that write more than the daemon takes get all of it sent', () async {
    await withDaemon(['--max-queued-bytes', '1000000'], (environment) async {
      final outcome = await runProgram('crowd.dart', [], environment: environment);
      expectSuccess(outcome, ['all came']);
    });
  });
}

void ending() {
  test('flush completes when the system has everything', () async {
    final mixed = await Mixed.open();
    mixed.peer.narrow();
    await mixed.connection.flush();
    final write = mixed.connection.write(pattern(16 << 20));
    var flushed = false;
    final flush = mixed.connection.flush().whenComplete(() => flushed = true);
    await letOthersGoOn();
    expect(flushed, false, 'completion of flush');
    await mixed.peer.receive(16 << 20);
    await flush;
    await write;
    await mixed.connection.write([1]);
    await mixed.connection.flush();
    await mixed.peer.receive((16 << 20) + 1);
    await mixed.close();
  });

  for (final (name, end) in <(String, Future<void> Function(Connection))>[
    ('close', (connection) => connection.close()),
    ('closeWrite', (connection) => connection.closeWrite()),
    ('flush', (connection) => connection.flush()),
  ]) {
    test('$name waits for the last bytes, however few they are', () async {
      final mixed = await Mixed.open();
      mixed.peer.narrow();
      final total = await fill(mixed);
      final ended = end(mixed.connection);
      unawaited(ended.then((_) => mixed.connection.destroy())); // which drops what is left
      await mixed.peer.ended;
      expect(mixed.peer.received, total, 'what came');
      await ended;
      await mixed.close();
    });
  }

  test('flush of a small write completes without the peer, and without further writes', () async {
    final mixed = await Mixed.open();
    for (var i = 1; i <= 10; i++) {
      unawaited(mixed.connection.write([i]));
      await mixed.connection.flush();
    }
    await mixed.peer.receive(10);
    await mixed.close();
  });

  test('a connection that was reset fails writes and flush', () async {
    final mixed = await Mixed.open();
    final read = expectFails<ReadFailedException>(mixed.connection.read());
    await mixed.peer.reset();
    await read;
    mixed.connection.write([1]).ignore(); // may fail already
    final failure = await expectFails<WriteFailedException>(mixed.connection.flush());
    expect(failure.operation, 'write', 'the operation');
    await expectFails<WriteFailedException>(mixed.connection.write([2]));
    await expectFails<WriteFailedException>(mixed.connection.flush());
    await expectFails<WriteFailedException>(mixed.connection.closeWrite());
    mixed.connection.destroy();
  });

  test('a reset fails the write that waits for room, once', () async {
    final mixed = await Mixed.open();
    mixed.peer.narrow();
    final failures = [
      expectFails<WriteFailedException>(mixed.connection.write(pattern(32 << 20))),
      expectFails<WriteFailedException>(mixed.connection.write([1])),
      expectFails<WriteFailedException>(mixed.connection.flush()),
    ];
    await mixed.peer.reset();
    await Future.wait(failures);
    mixed.connection.destroy();
  });

  test('after closeWrite the peer sees the end, and reading goes on', () async {
    final pair = await Pair.open();
    await pair.connected.write([1]);
    await pair.connected.closeWrite();
    expect(await readAll(pair.accepted), [1]);
    await pair.accepted.write(pattern(100000));
    await pair.accepted.closeWrite();
    expect(checksum(await readAll(pair.connected)), checksum(pattern(100000)));
    await pair.close();
  });

  test('closeWrite goes behind all that was written', () async {
    final mixed = await Mixed.open();
    mixed.peer.narrow();
    final write = mixed.connection.write(pattern(8 << 20));
    var closed = false;
    final close = mixed.connection.closeWrite().whenComplete(() => closed = true);
    await letOthersGoOn();
    expect(closed, false, 'completion of closeWrite');
    await mixed.peer.ended;
    expect(mixed.peer.received, 8 << 20, 'what came');
    expect(mixed.peer.sum, checksum(pattern(8 << 20)), 'the checksum');
    await write;
    await close;
    await mixed.close();
  });

  test('a write after closeWrite fails, and changes nothing', () async {
    final pair = await Pair.open();
    final closed = pair.connected.closeWrite();
    final failure = await expectFails<WriteFailedException>(pair.connected.write([1]));
    expect(failure.operation, 'write', 'the operation');
    await closed;
    await expectFails<WriteFailedException>(pair.connected.write([1]));
    await pair.connected.closeWrite(); // has been done
    expect(await pair.accepted.read(), null);
    await pair.accepted.write([2]);
    expect(await pair.connected.read(), [2]);
    await pair.close();
  });

  test('a socket of dart:io gets and sends the same', () async {
    final server = await ServerSocket.bind(loopback, 0);
    final served = server.first.then((socket) async {
      await socket.addStream(socket);
      await socket.close();
    });
    final connection = await Connection.connect(loopback, server.port);
    final answer = readAll(connection);
    await connection.write(pattern(1 << 20));
    await connection.closeWrite();
    expect(checksum(await answer), checksum(pattern(1 << 20)));
    await served;
    await connection.close();
  });
}

/// Writes until the system takes no more, little by little: too little to be told when it is done, without a flush.
/// Returns how much that is.
Future<int> fill(Mixed mixed) async {
  final pair = await Pair.open();
  for (var total = 15000; total < 64 << 20; total += 15000) {
    unawaited(mixed.connection.write(pattern(15000)));
    var flushed = false;
    unawaited(mixed.connection.flush().then((_) => flushed = true));
    for (var i = 0; i < 50 && !flushed; i++) {
      await expectEcho(pair.connected, pair.accepted, i);
    }
    if (flushed) continue;
    await pair.close();
    return total;
  }
  throw Failure('flush does not wait for the system');
}
