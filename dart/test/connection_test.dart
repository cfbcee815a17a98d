/// Reading and closing connections.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:typed_data';

import 'package:oche/oche.dart';
import 'package:oche/src/bindings.dart';
import 'package:oche/src/connection.dart' show transportOf;

import 'support/pairs.dart';
import 'support/scenario.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) {
  reading();
  joining();
  streaming();
  closing();
  return runTests(arguments);
}

void reading() {
  test('a read brings what has come', () async {
    final pair = await Pair.open();
    await pair.connected.write(utf8.encode('double top'));
    expect(utf8.decode(await readExactly(pair.accepted, 10)), 'double top');
    await pair.close();
  });

  test('what was read is the reader\'s own', () async {
    final pair = await Pair.open();
    await pair.connected.write(pattern(100));
    final first = await readExactly(pair.accepted, 100);
    first.fillRange(0, 50, 0);
    await pair.connected.write(pattern(100, 2));
    expect(await readExactly(pair.accepted, 100), pattern(100, 2), 'what came later');
    expect(first.sublist(50), pattern(100).sublist(50), 'what came first');
    await pair.close();
  });

  test('a read at the end brings null, and so does every other', () async {
    final pair = await Pair.open();
    final waiting = pair.accepted.read();
    await pair.connected.closeWrite();
    expect(await waiting, null);
    expect(await pair.accepted.read(), null);
    expect(await pair.accepted.read(), null);
    await pair.close();
  });

  test('what was sent before the end comes before the end', () async {
    final pair = await Pair.open();
    await pair.connected.write(pattern(300000));
    await pair.connected.close();
    expect(checksum(await readAll(pair.accepted)), checksum(pattern(300000)));
    await pair.close();
  });

  test('a read of a connection that is reset fails with ECONNRESET', () async {
    final mixed = await Mixed.open();
    final read = expectFails<ReadFailedException>(mixed.connection.read());
    await mixed.peer.reset();
    expect((await read).osError?.errorCode, econnreset, 'errno');
    await expectFails<ReadFailedException>(mixed.connection.read());
    mixed.connection.destroy();
  });

  test('a second read is an error of the program, and harms the first one not', () async {
    final pair = await Pair.open();
    final read = pair.accepted.read();
    await failureOf<StateError>(pair.accepted.read);
    await pair.connected.write([1]);
    expect(await read, [1]);
    final next = pair.accepted.read();
    await pair.connected.write([2]);
    expect(await next, [2]);
    await pair.close();
  });

  test('reads from within the completion of reads go on', () async {
    final pair = await Pair.open();
    final total = Completer<int>();
    var received = 0;
    void next(Uint8List? data) {
      if (data == null) return total.complete(received);
      received += data.length;
      pair.accepted.read().then(next);
    }

    unawaited(pair.accepted.read().then(next));
    for (var i = 0; i < 100; i++) {
      await pair.connected.write(pattern(1000, i));
      await pair.connected.flush();
    }
    await pair.connected.closeWrite();
    expect(await total.future, 100000, 'the bytes');
    await pair.close();
  });
}

/// How many bytes have come behind what was read.
int bytesAhead(Connection connection) => oche_isolate_ahead(transportOf(connection).handle, 1 << 30);

/// Comes back when so many bytes have come behind what was read.
Future<void> comeAhead(Connection connection, int count) =>
    eventually(() => bytesAhead(connection) >= count, '$count bytes come');

void joining() {
  test('a read brings together what has come since, in its order', () async {
    final mixed = await Mixed.open();
    final first = mixed.connection.read();
    await mixed.peer.send(utf8.encode('first'));
    expect(utf8.decode((await first)!), 'first');
    await mixed.peer.send(utf8.encode('second'));
    await comeAhead(mixed.connection, 6);
    await mixed.peer.send(utf8.encode('third'));
    await comeAhead(mixed.connection, 11);
    expect(utf8.decode((await mixed.connection.read())!), 'secondthird');
    await mixed.close();
  });

  test('who takes long gets much at once, and nothing is lost', () async {
    final mixed = await Mixed.open();
    const total = 8 << 20;
    final sent = mixed.peer.send(pattern(total));
    var sum = 1, came = 0, most = 0;
    while (came < total) {
      final data = (await mixed.connection.read())!;
      sum = checksum(data, sum);
      came += data.length;
      if (data.length > most) most = data.length;
      if (came < total ~/ 2) {
        // As much as a window of this size lets come.
        await settled(() => bytesAhead(mixed.connection));
      }
    }
    await sent;
    expect(sum, checksum(pattern(total)), 'the checksum');
    expectTrue(most >= 512 << 10, 'the largest piece has $most bytes');
    await mixed.close();
  });
}

void streaming() {
  test('a stream brings everything until the end', () async {
    final pair = await Pair.open();
    final all = pair.accepted.stream.fold(1, (sum, data) => checksum(data, sum));
    await pair.connected.write(pattern(1 << 20));
    await pair.connected.closeWrite();
    expect(await all, checksum(pattern(1 << 20)));
    await pair.close();
  });

  test('a stream is for one subscription', () async {
    final pair = await Pair.open();
    expectTrue(identical(pair.accepted.stream, pair.accepted.stream), 'there is one stream');
    final done = pair.accepted.stream.drain<void>();
    await failureOf<StateError>(pair.accepted.stream.drain<void>);
    await pair.connected.close();
    await done;
    await pair.close();
  });

  test('while somebody listens nobody else reads', () async {
    final pair = await Pair.open();
    final done = pair.accepted.stream.drain<void>();
    await failureOf<StateError>(pair.accepted.read);
    await pair.connected.close();
    await done;
    await pair.close();
  });

  test('while somebody reads a stream that is listened to fails, and the read goes on', () async {
    final pair = await Pair.open();
    final read = pair.accepted.read();
    final listening = failureOf<StateError>(pair.accepted.stream.drain<void>);
    await pair.connected.write([1]);
    expect(await read, [1]);
    await listening;
    await pair.connected.write([2]);
    expect(await pair.accepted.read(), [2]);
    await pair.close();
  });

  test('a stream that nobody listens to reads nothing', () async {
    final pair = await Pair.open();
    expect(pair.accepted.stream.isBroadcast, false, 'whether it is for many');
    await pair.connected.write([1]);
    expect(await pair.accepted.read(), [1]);
    await pair.close();
  });

  test('a stream goes on with what reads have left', () async {
    final pair = await Pair.open();
    await pair.connected.write([1]);
    expect(await pair.accepted.read(), [1]);
    await pair.connected.write([2]);
    await pair.connected.closeWrite();
    expect((await pair.accepted.stream.toList()).expand((data) => data).toList(), [2]);
    await pair.close();
  });

  test('a stream that is paused holds the peer back, and goes on where it was', () async {
    final pair = await Pair.open();
    final bytes = pattern(32 << 20);
    var received = 0, sum = 1;
    final ended = Completer<void>();
    final subscription = pair.accepted.stream.listen((data) {
      received += data.length;
      sum = checksum(data, sum);
    }, onDone: ended.complete)
      ..pause();
    var done = false;
    final write = pair.connected.write(bytes).whenComplete(() => done = true);
    await letOthersGoOn();
    expect(received, 0, 'what came while it was paused');
    expect(done, false, 'completion of the write');
    subscription.resume();
    await write;
    await pair.connected.closeWrite();
    await ended.future;
    expect(received, bytes.length, 'what came');
    expect(sum, checksum(bytes), 'the checksum');
    await pair.close();
  });

  test('a stream that is paused and resumed before anything comes brings it', () async {
    final pair = await Pair.open();
    final events = pair.accepted.stream.expand((data) => data).toList();
    final other = <int>[];
    final subscription = pair.connected.stream.listen(other.addAll);
    for (var i = 0; i < 3; i++) {
      subscription.pause();
      await Future(() {});
      subscription.resume();
      await Future(() {});
    }
    await pair.accepted.write([180]);
    await eventually(() => other.length == 1, 'the byte comes');
    await pair.connected.close();
    expect(await events, <int>[], 'what came on the other end');
    await pair.close();
  });

  test('a stream that is paused at every event brings all of them', () async {
    final pair = await Pair.open();
    final bytes = pattern(4 << 20);
    final all = pair.accepted.stream.asyncMap((data) => Future(() => data)); // which pauses
    final sum = all.fold(1, (sum, data) => checksum(data, sum));
    await pair.connected.write(bytes);
    await pair.connected.closeWrite();
    expect(await sum, checksum(bytes), 'the checksum');
    await pair.close();
  });

  test('a subscription that is cancelled leaves the connection open', () async {
    final pair = await Pair.open();
    await pair.connected.write([1]);
    expect(await pair.accepted.stream.first, [1]);
    await expectEcho(pair.accepted, pair.connected);
    final cancelled = pair.connected.stream.listen((_) {});
    await cancelled.cancel();
    await pair.connected.write([2]);
    expect(await pair.accepted.read(), [2]);
    await pair.close();
  });

  test('a stream of a connection that is reset has an error, and then ends', () async {
    final mixed = await Mixed.open();
    final events = <String>[];
    final ended = Completer<void>();
    mixed.connection.stream.listen(
      (data) => events.add('$data'),
      onError: (Object error) => events.add('${error.runtimeType}'),
      onDone: ended.complete,
    );
    mixed.peer.write([1]);
    await eventually(() => events.isNotEmpty, 'the data comes');
    await mixed.peer.reset();
    await ended.future;
    expect(events, ['[1]', 'ReadFailedException'], 'the events');
    mixed.connection.destroy();
  });

  test('a stream ends without an error when this side closes', () async {
    for (final end in <FutureOr<void> Function(Connection)>[
      (connection) => connection.close(),
      (connection) => connection.destroy(),
    ]) {
      final pair = await Pair.open();
      final events = pair.accepted.stream.toList();
      await end(pair.accepted);
      expect(await events, <Object>[], 'the events');
      await pair.close();
    }
  });

  test('a stream of a connection that was closed before is empty', () async {
    final pair = await Pair.open();
    await pair.accepted.close();
    expect(await pair.accepted.stream.toList(), <Object>[], 'the events');
    await pair.close();
  });
}

void closing() {
  for (final (name, end) in <(String, FutureOr<void> Function(Connection))>[
    ('close', (connection) => connection.close()),
    ('destroy', (connection) => connection.destroy()),
  ]) {
    test('$name fails a pending read, and the peer sees the end', () async {
      final pair = await Pair.open();
      final read = expectFails<ClosedException>(pair.connected.read());
      await end(pair.connected);
      expect((await read).operation, 'read', 'the operation');
      expect(await pair.accepted.read(), null);
      await pair.close();
    });

    test('$name fails a pending read, and those that are waiting for room', () async {
      final pair = await Pair.open();
      final read = expectFails<ClosedException>(pair.connected.read());
      final write = pair.connected.write(Uint8List(32 << 20));
      final flush = pair.connected.flush();
      if (name == 'destroy') {
        final failures = [expectFails<ClosedException>(write), expectFails<ClosedException>(flush)];
        pair.connected.destroy();
        await Future.wait(failures);
      } else {
        final closed = pair.connected.close();
        expect((await readAll(pair.accepted)).length, 32 << 20, 'what came');
        await Future.wait([write, flush, closed]);
      }
      await read;
      await pair.close();
    });

    test('after $name nothing works any more, and says so', () async {
      final pair = await Pair.open();
      await end(pair.connected);
      for (final (operation, call) in <(String, Future<Object?> Function())>[
        ('read', pair.connected.read),
        ('write', () => pair.connected.write([1])),
        ('write', () => pair.connected.write([])),
        ('flush', pair.connected.flush),
        ('closeWrite', pair.connected.closeWrite),
      ]) {
        final failure = await expectFails<ClosedException>(call());
        expect(failure.operation, operation, 'the operation');
      }
      await pair.close();
    });

    test('after $name others can do the same', () async {
      final pair = await Pair.open();
      await end(pair.connected);
      await pair.connected.close();
      pair.connected.destroy();
      await pair.connected.close();
      expect(await pair.accepted.read(), null);
      await pair.close();
    });
  }

  test('close completes alike for all who call it', () async {
    final pair = await Pair.open();
    unawaited(pair.connected.write(Uint8List(8 << 20)));
    var closed = 0;
    final all = [
      for (var i = 0; i < 3; i++) pair.connected.close().whenComplete(() => closed++),
    ];
    await letOthersGoOn();
    expect(closed, 0, 'how many have completed');
    expect((await readAll(pair.accepted)).length, 8 << 20, 'what came');
    await Future.wait(all);
    await pair.close();
  });

  test('close sends what was written before', () async {
    final pair = await Pair.open();
    final bytes = pattern(8 << 20);
    unawaited(pair.connected.write(bytes));
    final closed = pair.connected.close();
    expect(checksum(await readAll(pair.accepted)), checksum(bytes), 'the checksum');
    await closed;
    await pair.close();
  });

  test('close sends many small writes that nobody waited for', () async {
    for (var count = 1; count < 2000; count *= 3) {
      final pair = await Pair.open();
      for (var i = 0; i < count; i++) {
        unawaited(pair.connected.write(pattern(17, i)));
      }
      unawaited(pair.connected.close());
      final received = await readAll(pair.accepted);
      expect(received.length, 17 * count, 'how much came');
      expect(checksum(received), checksum([for (var i = 0; i < count; i++) ...pattern(17, i)]));
      await pair.close();
    }
  });

  test('destroy drops what has not been sent', () async {
    final mixed = await Mixed.open();
    mixed.peer.narrow();
    final write = expectFails<ClosedException>(mixed.connection.write(Uint8List(64 << 20)));
    mixed.connection.destroy();
    await write;
    await mixed.peer.ended;
    expectTrue(mixed.peer.received < 64 << 20, 'not all has come, but ${mixed.peer.received}');
    await mixed.close();
  });

  test('destroy resets what it drops, and sends what was written if that is not much', () async {
    final much = await Mixed.open();
    much.peer.narrow();
    final write = expectFails<ClosedException>(much.connection.write(Uint8List(64 << 20)));
    much.connection.destroy();
    await write;
    await much.peer.ended;
    expect(much.peer.wasReset, true, 'that the peer was reset');
    await much.close();

    final little = await Mixed.open();
    little.connection.write(pattern(300000)).ignore();
    little.connection.destroy();
    await little.peer.ended;
    expect(little.peer.received, 300000, 'what came');
    expect(little.peer.wasReset, false, 'that the peer was reset');
    await little.close();
  });

  test('abort resets', () async {
    final mixed = await Mixed.open();
    await mixed.connection.write(utf8.encode('hello'));
    mixed.connection.abort();
    await mixed.peer.ended;
    expect(mixed.peer.wasReset, true, 'that the peer was reset');
    await expectFails<ClosedException>(mixed.connection.write([1]));
    await mixed.close();
  });

  test('destroy ends a close that waits for the peer', () async {
    final mixed = await Mixed.open();
    mixed.peer.narrow();
    final write = expectFails<ClosedException>(mixed.connection.write(Uint8List(64 << 20)));
    final closed = mixed.connection.close();
    mixed.connection.destroy();
    await closed;
    await write;
    await mixed.peer.ended;
    expectTrue(mixed.peer.received < 64 << 20, 'not all has come, but ${mixed.peer.received}');
    await mixed.close();
  });

  test('close of a connection that is broken completes', () async {
    final mixed = await Mixed.open();
    final read = expectFails<ReadFailedException>(mixed.connection.read());
    await mixed.peer.reset();
    await read;
    mixed.connection.write(pattern(100000)).ignore();
    await mixed.connection.close();
  });
}
