/// Slow readers, and who holds back whom.
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
  holdingBack();
  return runTests(arguments);
}

/// Sends so much, and closes; returns who tells how much of it was taken.
int Function() _send(Socket socket, int total) {
  var taken = 0;
  unawaited(
    socket
        .addStream(pieces(total ~/ 65536, 65536, onPiece: (count) => taken = count * 65536))
        .then((_) => socket.close()),
  );
  return () => taken;
}

/// Notes that a sender is held back before too much is on its way.
Future<void> _noteHeldBack(Log log, int Function() taken) async {
  final outstanding = await settled(taken);
  log('out')('some was sent: ${outstanding > 0}');
  log('out')('held back: ${outstanding <= _onItsWay}');
}

void holdingBack() {
  conforms(
    'a reader that does not listen holds back addStream',
    (log) async {
      final (client, server) = await log.pair();
      final taken = _send(client, _much);
      await _noteHeldBack(log, taken);
      await sumUp(log('in'), server);
    },
  );

  conforms(
    'a reader that pauses holds back addStream',
    (log) async {
      final (client, server) = await log.pair();
      final sum = Sum();
      final done = Completer<void>();
      final subscription = server.listen((data) {
        sum.add(data);
      }, onDone: done.complete);
      subscription.pause();
      final taken = _send(client, _much);
      await _noteHeldBack(log, taken);
      subscription.resume();
      await done.future;
      log('in')('$sum');
    },
  );

  conforms(
    'a reader that pauses in the middle holds back addStream',
    (log) async {
      final (client, server) = await log.pair();
      final sum = Sum();
      final done = Completer<void>(), middle = Completer<void>();
      late final StreamSubscription<Uint8List> subscription;
      subscription = server.listen((data) {
        sum.add(data);
        if (sum.bytes >= 4 * _mebibyte && !middle.isCompleted) {
          subscription.pause();
          middle.complete();
        }
      }, onDone: done.complete);
      final taken = _send(client, _far);
      await middle.future;
      final before = sum.bytes;
      await settled(taken);
      log('in')('nothing while paused: ${sum.bytes == before}');
      // What was read before has made the system's window grow, to 32 MiB by default.
      log('out')('held back: ${taken() < _far}');
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
      await _noteHeldBack(log, () => flushed);
      await sumUp(log('in'), server);
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
      var taken = () => 0;
      server.listen((socket) => taken = _send(log.own(socket), _far));
      final proxy = await log.bind();
      proxy.listen((front) async {
        log.own(front);
        final back = await log.connect(server);
        unawaited(back.cast<List<int>>().pipe(front));
      });
      final client = await log.connect(proxy);
      await settled(() => taken());
      log('server')('held back: ${taken() < _far}');
      await sumUp(log('client'), client);
    },
  );
}
