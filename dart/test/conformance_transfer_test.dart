/// Much data, fast and slow readers, and who holds back whom.
library;

import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';

const _mebibyte = 1 << 20;

/// More than all buffers of the system and of oche together hold for a reader that has not read anything.
const _much = 32 * _mebibyte;

/// More than they hold for one that has read: Linux's buffers grow to 36 MiB then.
const _far = 64 * _mebibyte;

/// What may be on its way, at most, when nobody reads: Linux's buffers of both ends, which are 4 MiB for the sender
/// and, before anything was read, far less for the receiver, and those of oche.
const _onItsWay = 16 * _mebibyte;

Future<void> main(List<String> arguments) {
  volume();
  holdingBack();
  return runTests(arguments);
}

/// Adds up what a stream brings.
final class _Sum {
  int bytes = 0;
  int _checksum = 1;

  void add(Uint8List data) {
    bytes += data.length;
    _checksum = checksum(data, _checksum);
  }

  @override
  String toString() => '$bytes bytes, Adler-32 ${_checksum.toRadixString(16)}';
}

Future<void> _sumUp(Witness witness, Stream<Uint8List> stream) async {
  final sum = _Sum();
  await stream.forEach(sum.add);
  witness('$sum');
}

void volume() {
  conforms('64 MiB from the one that connected', (log) async {
    final (client, server) = await log.pair();
    unawaited(client.addStream(pieces(1024, 65536)).then((_) => client.close()));
    await _sumUp(log('server'), server);
  });

  conforms('64 MiB from the one that was accepted', (log) async {
    final (client, server) = await log.pair();
    unawaited(server.addStream(pieces(1024, 65536)).then((_) => server.close()));
    await _sumUp(log('client'), client);
  });

  conforms('24 MiB in both directions at the same time', (log) async {
    final (client, server) = await log.pair();
    unawaited(client.addStream(pieces(384, 65536)).then((_) => client.close()));
    unawaited(server.addStream(pieces(24, _mebibyte)).then((_) => server.close()));
    await Future.wait([_sumUp(log('client'), client), _sumUp(log('server'), server)]);
  });

  conforms('an echo of 24 MiB', (log) async {
    final (client, server) = await log.pair();
    unawaited(server.cast<List<int>>().pipe(server));
    unawaited(client.addStream(pieces(24, _mebibyte)).then((_) => client.close()));
    await _sumUp(log('client'), client);
  });

  conforms('one list of 32 MiB', (log) async {
    final (client, server) = await log.pair();
    client.add(pattern(32 * _mebibyte));
    unawaited(log('out').outcome('close', client.close()));
    await _sumUp(log('in'), server);
  });

  conforms('50000 small lists', (log) async {
    final (client, server) = await log.pair();
    for (var i = 0; i < 50000; i++) {
      client.add(Uint8List(1 + i % 37)..fillRange(0, 1 + i % 37, i & 255));
    }
    unawaited(log('out').outcome('close', client.close()));
    await _sumUp(log('in'), server);
  });

  conforms('5000 small lists, each flushed', (log) async {
    final (client, server) = await log.pair();
    final summing = _sumUp(log('in'), server);
    for (var i = 0; i < 5000; i++) {
      client.add([i & 255, i >> 8]);
      await client.flush();
    }
    unawaited(client.close());
    await summing;
  });

  conforms('a file', (log) async {
    final directory = await Directory.systemTemp.createTemp('conformance');
    log.atEnd(() => directory.delete(recursive: true));
    final file = File('${directory.path}/data')..writeAsBytesSync(pattern(5 * _mebibyte + 7));
    final (client, server) = await log.pair();
    unawaited(log('out').outcome('pipe', file.openRead().pipe(client)));
    final copy = File('${directory.path}/copy').openWrite();
    await server.cast<List<int>>().pipe(copy);
    log('in').data(File('${directory.path}/copy').readAsBytesSync());
  });

  conforms('20 connections with 1 MiB each', (log) async {
    final server = await log.bind();
    server.listen((socket) {
      log.own(socket);
      socket.cast<List<int>>().pipe(socket);
    });
    await Future.wait([
      for (var i = 0; i < 20; i++)
        () async {
          final client = await log.connect(server);
          unawaited(client.addStream(pieces(16, 65536)).then((_) => client.close()));
          await _sumUp(log('client ${i + 10}'), client);
        }(),
    ]);
  });
}

/// Comes back when the number does not grow any more, with the number. If that is only because the machine is busy
/// elsewhere, the number is smaller than it could be.
Future<int> _settled(int Function() number) async {
  var last = number(), still = 0;
  while (still < 25) {
    await Future<void>.delayed(const Duration(milliseconds: 4));
    final now = number();
    still = now == last ? still + 1 : 0;
    last = now;
  }
  return last;
}

void holdingBack() {
  conforms(
    'a reader that does not listen holds back addStream',
    (log) async {
      final (client, server) = await log.pair();
      var taken = 0;
      unawaited(
        client
            .addStream(pieces(_much ~/ 65536, 65536, onPiece: (count) => taken = count * 65536))
            .then((_) => client.close()),
      );
      final outstanding = await _settled(() => taken);
      log('out')('some was sent: ${outstanding > 0}');
      log('out')('held back: ${outstanding <= _onItsWay}');
      await _sumUp(log('in'), server);
    },
  );

  conforms(
    'a reader that pauses holds back addStream',
    (log) async {
      final (client, server) = await log.pair();
      var taken = 0;
      final sum = _Sum();
      final done = Completer<void>();
      var worst = 0;
      final subscription = server.listen((data) {
        sum.add(data);
        if (taken - sum.bytes > worst) worst = taken - sum.bytes;
      }, onDone: done.complete);
      subscription.pause();
      unawaited(
        client
            .addStream(pieces(_much ~/ 65536, 65536, onPiece: (count) => taken = count * 65536))
            .then((_) => client.close()),
      );
      final outstanding = await _settled(() => taken);
      log('out')('some was sent: ${outstanding > 0}');
      log('out')('held back: ${outstanding <= _onItsWay}');
      subscription.resume();
      await done.future;
      log('in')('$sum');
    },
  );

  conforms(
    'a reader that pauses in the middle holds back addStream',
    (log) async {
      final (client, server) = await log.pair();
      var taken = 0;
      final sum = _Sum();
      final done = Completer<void>(), middle = Completer<void>();
      late final StreamSubscription<Uint8List> subscription;
      subscription = server.listen((data) {
        sum.add(data);
        if (sum.bytes >= 4 * _mebibyte && !middle.isCompleted) {
          subscription.pause();
          middle.complete();
        }
      }, onDone: done.complete);
      unawaited(
        client
            .addStream(pieces(_far ~/ 65536, 65536, onPiece: (count) => taken = count * 65536))
            .then((_) => client.close()),
      );
      await middle.future;
      final before = sum.bytes;
      await _settled(() => taken);
      log('in')('nothing while paused: ${sum.bytes == before}');
      // What was read before has made the system's window grow, to 32 MiB by default.
      log('out')('held back: ${taken < _far}');
      subscription.resume();
      await done.future;
      log('in')('$sum');
    },
  );

  conforms(
    'a reader that does not listen holds back flush',
    (log) async {
      final (client, server) = await log.pair();
      var flushed = 0;
      unawaited(() async {
        final piece = pattern(65536);
        for (var i = 0; i < _much ~/ piece.length; i++) {
          client.add(piece);
          await client.flush();
          flushed += piece.length;
        }
        await client.close();
      }());
      final outstanding = await _settled(() => flushed);
      log('out')('some was sent: ${outstanding > 0}');
      log('out')('held back: ${outstanding <= _onItsWay}');
      await _sumUp(log('in'), server);
    },
  );

  conforms(
    'a peer that does not read holds back close, and not for ever',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      socket.add(pattern(_much));
      var closed = false;
      final close = log('out').outcome(
          'close',
          socket.close().then((value) {
            closed = true;
            return value;
          }));
      await turns(50);
      log('out')('closed: $closed');
      await peer.ended();
      await close;
    },
  );

  conforms(
    'a proxy hands on that its client does not read',
    (log) async {
      final server = await log.bind();
      var taken = 0;
      server.listen((socket) {
        log.own(socket);
        socket
            .addStream(pieces(_far ~/ 65536, 65536, onPiece: (count) => taken = count * 65536))
            .then((_) => socket.close());
      });
      final proxy = await log.bind();
      proxy.listen((front) async {
        log.own(front);
        final back = await log.connect(server);
        unawaited(back.cast<List<int>>().pipe(front));
      });
      final client = await log.connect(proxy);
      await _settled(() => taken);
      log('server')('held back: ${taken < _far}');
      await _sumUp(log('client'), client);
    },
  );
}
