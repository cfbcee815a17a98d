/// One end has ended, and the other goes on.
library;

import 'dart:async';
import 'dart:convert';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  halfClose();
  return runTests(arguments);
}

void halfClose() {
  for (final (:accepted, :which) in origins) {
    conforms(
      'the end from the peer leaves the sending side open, on $which',
      (log) async {
        final (socket, peer) = await RawPeer.of(log, accepted: accepted);
        unawaited(log('out').outcome('done', socket.done));
        peer.shutdown();
        await log('in').watch(socket).done;
        socket.write('still here');
        await log('out').outcome('flush', socket.flush());
        await peer.received(10);
        unawaited(socket.close());
        await peer.ended();
      },
      expected: [
        'in: done',
        'out: flush: an IOSink',
        'out: done: a Socket',
        'peer: data "still here"',
        'peer: end',
      ],
    );

    conforms(
      'close ends sending, and receiving goes on, on $which',
      (log) async {
        final (socket, peer) = await RawPeer.of(log, accepted: accepted);
        final stream = log('in').watch(socket);
        socket.write('a question');
        await log('out').outcome('close', socket.close());
        await peer.ended();
        await peer.write(utf8.encode('a late answer'));
        await stream.received(13);
        log('in')('goes on');
        peer.shutdown();
        await stream.done;
      },
      expected: [
        'in: data "a late answer"',
        'in: goes on',
        'in: done',
        'out: close: a Socket',
        'peer: data "a question"',
        'peer: end',
      ],
    );
  }

  conforms(
    'whoever listens only after the end of sending gets all',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      await log('out').outcome('close', socket.close());
      await peer.ended();
      await peer.write(utf8.encode('nobody listens yet'));
      peer.shutdown();
      await turns();
      await log('in').watch(socket).done;
    },
    expected: [
      'in: data "nobody listens yet"',
      'in: done',
      'out: close: a Socket',
      'peer: end',
    ],
  );

  conforms(
    'an answer can be sent from the callback of the end',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      final stream = log('in').watch(
        socket,
        onDone: () {
          socket.write('goodbye');
          socket.close();
        },
      );
      await peer.write(utf8.encode('hello'));
      peer.shutdown();
      await stream.done;
      await peer.ended();
    },
    expected: ['in: data "hello"', 'in: done', 'peer: data "goodbye"', 'peer: end'],
  );

  conforms('both ends at the same time', (log) async {
    final (client, server) = await log.pair();
    final streams = [log('client').watch(client), log('server').watch(server)];
    unawaited(log('client.out').outcome('close', client.close()));
    unawaited(log('server.out').outcome('close', server.close()));
    await Future.wait([for (final stream in streams) stream.done]);
  });

  conforms('the end of the peer does not complete done', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    socket.done.then((_) => log('out')('done'));
    peer.shutdown();
    await log('in').watch(socket).done;
    await turns();
    log('out')('still open');
    await socket.close();
    await turns();
  }, expected: ['in: done', 'out: still open', 'out: done']);

  conforms('a large rest is sent after the peer has ended', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    peer.shutdown();
    await log('in').watch(socket).done;
    socket.add(pattern(4 << 20));
    unawaited(log('out').outcome('close', socket.close()));
    await peer.ended();
  });
}
