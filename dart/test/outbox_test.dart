/// What is sent when, and who waits for it, with a sink that does as it is told.
library;

import 'dart:typed_data';

import 'package:oche/src/exceptions.dart';
import 'package:oche/src/library.dart';
import 'package:oche/src/outbox.dart';

import 'support/pairs.dart';
import 'support/testing.dart';

const outOfMemory = -12, lost = -14;

/// Notes what it is given, and says what a test has put into [status].
final class Sink implements OutboxSink {
  int status = 0;
  int asked = 0;
  OcheException? failed;
  final sent = <int>[];
  final heard = <bool>[];

  @override
  int send(Uint8List data, int offset, int count, {required bool isHeard}) {
    if (status != 0) return status;
    sent.addAll(Uint8List.sublistView(data, offset, offset + count));
    heard.add(isHeard);
    return 0;
  }

  @override
  void awaitRoom() => asked++;

  @override
  void onFailure(OcheException failure) => failed = failure;

  @override
  OcheException failure(int code, int errno) => OcheException.of(code, 'write', errno: errno);
}

Future<void> main(List<String> arguments) {
  findLibrary(); // exceptions take their texts from there
  test('small writes are not to be heard of, until there are 16 KiB of them', () async {
    final sink = Sink(), outbox = Outbox(sink);
    for (var i = 0; i < 20; i++) {
      expectTrue(identical(outbox.write(pattern(1000), 0, 1000), Outbox.done), 'there is room');
    }
    expect(sink.heard.indexOf(true), 16, 'which one was heard');
    expect(sink.heard.where((isHeard) => isHeard).length, 1, 'how many were heard');
    expect(outbox.isSettled, false, 'that all was sent');
  });

  test('flush asks for an answer, and completes with it', () async {
    final sink = Sink(), outbox = Outbox(sink);
    await outbox.flush();
    expect(sink.heard, <bool>[], 'what was asked for nothing');
    outbox.write(pattern(10), 0, 10).ignore();
    var flushed = false;
    final flush = outbox.flush().whenComplete(() => flushed = true);
    expect(sink.heard, [false, true], 'what was heard');
    await Future(() {});
    expect(flushed, false, 'that it was flushed');
    outbox.onSent();
    await flush;
    expect(outbox.isSettled, true, 'that all was sent');
  });

  test('flush that finds no room asks again when there is some', () async {
    final sink = Sink(), outbox = Outbox(sink);
    outbox.write(pattern(10), 0, 10).ignore();
    sink.status = outOfMemory;
    final flush = outbox.flush();
    expect(sink.asked, 1, 'how often it asked for room');
    outbox.pump();
    expect(sink.asked, 2, 'how often it asked for room');
    sink.status = 0;
    outbox.pump();
    outbox.onSent();
    await flush;
    expect(sink.sent, pattern(10), 'what was sent');
    outbox.pump();
    expect(sink.heard, [false, true], 'what was heard');
  });

  test('writes that find no room are sent in their order when there is some', () async {
    final sink = Sink(), outbox = Outbox(sink);
    outbox.write([1].toBytes, 0, 1).ignore();
    sink.status = outOfMemory;
    outbox.write([2].toBytes, 0, 1).ignore();
    sink.status = 0; // but nobody has said so
    outbox.write([0, 3, 4].toBytes, 1, 2).ignore();
    final flush = outbox.flush();
    outbox.pump();
    expect(sink.sent, [1, 2, 3, 4], 'what was sent');
    for (final isHeard in sink.heard) {
      if (isHeard) outbox.onSent();
    }
    await flush;
  });

  test('a writer waits when half a megabyte is on its way, and until half of that is left', () async {
    final sink = Sink(), outbox = Outbox(sink);
    const size = 64 << 10;
    final bytes = pattern(size);
    for (var i = 0; i < 8; i++) {
      expectTrue(identical(outbox.write(bytes, 0, size), Outbox.done), 'there is room for $i');
    }
    var completed = false;
    final write = outbox.write(bytes, 0, size).whenComplete(() => completed = true);
    for (var i = 0; i < 4; i++) {
      outbox.onSent();
      await Future(() {});
      expect(completed, false, 'completion after ${i + 1} parts');
    }
    outbox.onSent();
    await write;
  });

  test('what nobody waits for is handed on as far as eight megabytes go, for all connections together', () async {
    const half = 512 << 10, most = 8 << 20;
    final bytes = Uint8List(12 << 20);
    final sink = Sink(), outbox = Outbox(sink);
    final other = Sink(), otherBox = Outbox(other);
    final writes = [
      expectFails<DaemonLostException>(outbox.write(bytes, 0, bytes.length)),
      expectFails<DaemonLostException>(otherBox.write(bytes, 0, bytes.length)),
    ];
    expect(sink.sent.length, half + most, 'what the first one handed on');
    expect(other.sent.length, half, 'what the second one handed on');
    outbox.onFailed(lost, 0); // makes room, for which the other one does not look before something of its own is sent
    otherBox.onSent();
    expect(other.sent.length, half + most + (128 << 10), 'what the second one handed on then');
    otherBox.onFailed(lost, 0);
    await Future.wait(writes);
    final next = Sink(), nextBox = Outbox(next);
    nextBox.write(bytes, 0, 4 << 20).ignore();
    expect(next.sent.length, 4 << 20, 'what a third one handed on');
    nextBox.onFailed(lost, 0);
  });

  test('a failure is told at once, also if nobody waits', () async {
    final sink = Sink(), outbox = Outbox(sink);
    outbox.write([1].toBytes, 0, 1).ignore();
    expect(sink.failed, null, 'what failed');
    outbox.onFailed(lost, 0);
    expectTrue(identical(sink.failed, outbox.failure) && sink.failed is DaemonLostException, 'that is what failed');
  });

  test('a failure fails whoever waits, and whoever comes', () async {
    for (final size in [10, 500000, 1000000]) {
      final sink = Sink(), outbox = Outbox(sink);
      final waiting = [
        outbox.write(Uint8List(size), 0, size).onError<DaemonLostException>((_, __) {}), // waits if it is large
        expectFails<DaemonLostException>(outbox.flush()),
      ];
      outbox.onFailed(lost, 0);
      await Future.wait(waiting);
      outbox.onFailed(-8, 0); // of what was on its way as well
      final sent = sink.sent.length;
      await expectFails<DaemonLostException>(outbox.write([1].toBytes, 0, 1));
      await expectFails<DaemonLostException>(outbox.flush());
      outbox.onSent(); // of what was on its way before
      expect(sink.sent.length, sent, 'what was handed on');
    }
  });

  test('a write that is refused fails at once', () async {
    final sink = Sink()..status = lost, outbox = Outbox(sink);
    final failure = await expectFails<DaemonLostException>(outbox.write([1].toBytes, 0, 1));
    expect(identical(outbox.failure, failure), true, 'that it is the failure of the outbox');
  });

  return runTests(arguments);
}

extension on List<int> {
  Uint8List get toBytes => Uint8List.fromList(this);
}
