/// A peer that resets the connection, in every phase of a socket's life.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';
import 'support/http.dart';

Future<void> main(List<String> arguments) {
  for (final (:accepted, :which) in origins) {
    listening(accepted: accepted, which: which);
  }
  notListening();
  writing();
  unread();
  http();
  return runTests(arguments);
}

void listening({required bool accepted, required String which}) {
  conforms(
    'while idle, $which: an error, and the end',
    (log) async {
      final (socket, peer) = await RawPeer.of(log, accepted: accepted);
      final stream = log('in').watch(socket);
      await peer.reset();
      await stream.done;
    },
    expected: ['in: error SocketException(errno 104)', 'in: done'],
  );

  conforms('after data, $which', (log) async {
    final (socket, peer) = await RawPeer.of(log, accepted: accepted);
    final stream = log('in').watch(socket);
    await peer.write(utf8.encode('hello'));
    await stream.received(5);
    await peer.reset();
    await stream.done;
  }, expected: ['in: data "hello"', 'in: error SocketException(errno 104)', 'in: done']);

  conforms('after its own end, $which', (log) async {
    final (socket, peer) = await RawPeer.of(log, accepted: accepted);
    final stream = log('in').watch(socket);
    await log('out').outcome('close', socket.close());
    await peer.ended();
    await peer.reset();
    await stream.done;
  });

  conforms('after its own end and data, $which', (log) async {
    final (socket, peer) = await RawPeer.of(log, accepted: accepted);
    final stream = log('in').watch(socket);
    socket.write('a question');
    await log('out').outcome('close', socket.close());
    await peer.ended();
    await peer.write(utf8.encode('half an ans'));
    await stream.received(11);
    await peer.reset();
    await stream.done;
  });

  conforms('cancelOnError, $which: no done after the error', (log) async {
    final (socket, peer) = await RawPeer.of(log, accepted: accepted);
    final failed = Completer<void>();
    socket.listen(
      log('in').data,
      onError: (Object error) {
        log('in')('error ${describe(error)}');
        failed.complete();
      },
      onDone: () => log('in')('done'),
      cancelOnError: true,
    );
    await peer.reset();
    await failed.future;
    await turns(10);
  });

  conforms('await for throws, $which', (log) async {
    final (socket, peer) = await RawPeer.of(log, accepted: accepted);
    await peer.write(utf8.encode('hello'));
    try {
      await for (final data in socket) {
        log('in').data(data);
        unawaited(peer.reset());
      }
      log('in')('ends');
    } on SocketException catch (error) {
      log('in')('throws ${describe(error)}');
    }
  });

  conforms('while paused, $which: the error comes on resuming', (log) async {
    final (socket, peer) = await RawPeer.of(log, accepted: accepted);
    final stream = log('in').watch(socket)..subscription.pause();
    await peer.reset();
    await turns(20);
    log('in')('resume');
    stream.subscription.resume();
    await stream.done;
  });
}

void notListening() {
  conforms('before listening: the error comes to who listens later', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    await peer.reset();
    await turns(20);
    await log('in').watch(socket).done;
  });

  conforms('nobody listens, nobody is troubled', (log) async {
    final (_, peer) = await RawPeer.of(log);
    await peer.reset();
    await turns(20);
    log('in')('nothing');
  }, expected: ['in: nothing']);

  conforms('nobody listens, and destroy is still possible', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    await peer.reset();
    await turns(20);
    socket.destroy();
    await log('in').watch(socket).done;
  });

  conforms('a reset after the subscription was cancelled troubles nobody', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    await socket.listen((_) {}).cancel();
    await peer.reset();
    await turns(20);
    log('in')('nothing');
  });

  conforms(
    'a listener without onError: the end comes, and the error goes to the zone',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      final done = Completer<void>();
      socket.listen((_) {}, onDone: done.complete);
      await peer.reset();
      await done.future;
      log('in')('done');
    },
    expected: ['in: done', 'uncaught: SocketException(errno 104)'],
    differs: 'what a peer does must not end the isolate',
    oche: ['in: done'],
  );

  conforms('the error comes to handleError', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final drained = log('in').outcome(
      'drain',
      socket.handleError((Object error) => log('in')('handled ${describe(error)}')).drain<void>(),
    );
    await peer.reset();
    await drained;
  });

  conforms('drain fails', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final drained = log('in').outcome('drain', socket.drain<void>());
    await peer.reset();
    await drained;
  });
}

/// Which of the two it is, is chance: whether the system has told the reset already.
String _broken(Object error) => switch (error) {
      SocketException(osError: OSError(errorCode: 32 || 104)) => 'SocketException(EPIPE or ECONNRESET)',
      _ => describe(error),
    };

Future<void> _noteDone(Log log, Socket socket) => socket.done.then(
      (_) => log('out')('done'),
      onError: (Object error) => log('out')('done fails: ${_broken(error)}'),
    );

final _much = pattern(32 << 20);

void writing() {
  conforms(
    'nobody asks for done, and a reset while writing troubles nobody',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      final done = Completer<void>();
      log('peer').beginningOf = _much;
      socket.listen((_) {}, onError: (Object _) {}, onDone: done.complete);
      socket.add(_much);
      await peer.received(1);
      await peer.reset();
      await done.future;
      log('in')('done');
    },
    expected: ['in: done', 'peer: a beginning', 'uncaught: SocketException(errno 104)'],
    differs: 'what a peer does must not end the isolate',
    oche: ['in: done', 'peer: a beginning'],
  );

  for (final what in ['flush', 'close', 'addStream']) {
    conforms('$what waits, a listener sees the error as well', (log) async {
      final (socket, peer) = await RawPeer.of(log);
      final done = Completer<void>();
      socket.listen(
        (_) {},
        onError: (Object error) => log('in')('error ${_broken(error)}'),
        onDone: () {
          log('in')('done');
          done.complete();
        },
      );
      log('peer').beginningOf = _much;
      final Future<Object?> outcome;
      if (what == 'addStream') {
        outcome = socket.addStream(Stream.fromIterable([_much]));
      } else {
        socket.add(_much);
        outcome = what == 'flush' ? socket.flush() : socket.close();
      }
      final noted = outcome.then(
        (_) => log('out')('$what completes'),
        onError: (Object error) => log('out')('$what fails: ${_broken(error)}'),
      );
      unawaited(
        socket.done.then(
          (_) => log('done')('completes'),
          onError: (Object error) => log('done')('fails: ${_broken(error)}'),
        ),
      );
      await peer.received(1);
      await peer.reset();
      await noted;
      await done.future;
    });
  }

  conforms(
    'the source of addStream is cancelled',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      final stream = socket.listen((_) {}, onError: (Object _) {});
      log.atEnd(stream.cancel);
      final source = StreamController<List<int>>();
      final adding = socket.addStream(source.stream).then(
            (_) => log('out')('completes'),
            onError: (Object error) => log('out')('fails: ${_broken(error)}'),
          );
      source.add(utf8.encode('hello'));
      await peer.received(5);
      await peer.reset();
      await adding;
      await turns(20);
      log('source')('is listened to: ${source.hasListener}');
    },
    expected: [
      'out: fails: SocketException(EPIPE or ECONNRESET)',
      'peer: data "hello"',
      'source: is listened to: true',
    ],
    differs: 'dart:io holds on to it until destroy',
    oche: [
      'out: fails: SocketException(EPIPE or ECONNRESET)',
      'peer: data "hello"',
      'source: is listened to: false',
    ],
  );

  conforms('what is written afterwards is ignored', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    await peer.reset();
    await stream.done;
    log('out').tries('write', () => socket.write('hello'));
    log('out').tries('add', () => socket.add(Uint8List(100000)));
    await turns(10);
    socket.destroy();
  });

  conforms(
    'a stream that is added afterwards',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      final stream = log('in').watch(socket);
      await peer.reset();
      await stream.done;
      await log('out').settles('addStream', socket.addStream(pieces(2, 1000)));
    },
    expected: ['in: error SocketException(errno 104)', 'in: done', 'out: addStream: open'],
    differs: 'in dart:io the future never completes',
    oche: [
      'in: error SocketException(errno 104)',
      'in: done',
      'out: addStream: a Socket',
    ],
  );

  conforms('close afterwards completes', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    await peer.reset();
    await stream.done;
    await log('out').outcome('close', socket.close());
  });

  conforms('destroy afterwards does nothing', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    await peer.reset();
    await stream.done;
    socket.destroy();
    await turns(10);
    log('in')('nothing else');
  });

  conforms('after the end of the peer, a writer learns of the reset', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    peer.shutdown();
    await stream.done;
    final done = _noteDone(log, socket);
    await peer.reset();
    await writeUntil(socket, done);
  });

  conforms('one write to a peer that is gone is enough to learn of it', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    await peer.close();
    await stream.done;
    final done = _noteDone(log, socket);
    socket.write('event');
    await done;
  });

  conforms('close and done tell that a write has failed', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    await peer.close();
    await stream.done;
    socket.write('event');
    await _noteDone(log, socket);
    await log('out').outcome('close', socket.close());
    await log('out').outcome('done', socket.done);
  });

  conforms('a reset after all was flushed is no failure of a later close', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    socket.write('event');
    await socket.flush();
    await peer.received(5);
    peer.shutdown();
    await stream.done;
    await peer.reset();
    await turns(20);
    await log('out').outcome('close', socket.close());
  });

  conforms('a reader that pauses while a writer learns of the reset is told on resuming', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    late final Watched stream;
    stream = log('in').watch(socket, onData: (_) => stream.subscription.pause(), words: _broken);
    await peer.write(utf8.encode('hello'));
    await stream.received(5);
    await peer.reset();
    await writeUntil(socket, _noteDone(log, socket));
    await turns(10);
    log('in')('resume');
    stream.subscription.resume();
    await stream.done;
  });

  conforms('a writer that does not listen learns of the reset', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final done = _noteDone(log, socket);
    await peer.reset();
    await writeUntil(socket, done);
  });
}

void unread() {
  conforms('a peer that closes with data unread resets', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    socket.write('nobody will read this');
    await socket.flush();
    await peer.arrived(21);
    await peer.close();
    await stream.done;
  });

  conforms('an answer that comes before such a reset can be read', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    socket.write('nobody will read this');
    await socket.flush();
    await peer.arrived(21);
    await peer.write(utf8.encode('413 too long'));
    await stream.received(12);
    await peer.close();
    await stream.done;
  });

  conforms('an echo of a peer that reset is not an uncaught error', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    socket.cast<List<int>>().pipe(socket).then(
          (_) => log('pipe')('completes'),
          onError: (Object error) => log('pipe')('fails: ${_broken(error)}'),
        );
    await peer.write(pattern(100));
    await peer.received(100);
    await peer.reset();
    await eventually(() => !log('pipe').isEmpty, 'the pipe ends');
  });
}

void http() {
  conforms('an HTTP server goes on after clients have reset', (log) async {
    final server = await log.serve(sayHello);
    for (final text in [
      '',
      'GET',
      'GET / HTTP/1.1\r\nHost: x\r\n',
      'POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc'
    ]) {
      final raw = await RawSocket.connect(server.address, server.port);
      final peer = RawPeer.wrap(log, raw, name: 'nobody');
      await peer.write(utf8.encode(text));
      await turns();
      await peer.reset();
    }
    log('client')(await utf8.decodeStream(await log.httpClient().ask(server)));
  });
}
