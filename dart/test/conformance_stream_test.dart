/// What a socket receives and sends, and in which order it tells.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  exchange();
  halfClose();
  pausing();
  cancelling();
  listening();
  return runTests(arguments);
}

void exchange() {
  conforms(
    'an echo comes back, and then the end',
    (log) async {
      final server = await log.bind();
      server.listen((socket) {
        log.own(socket);
        log('server').outcome('pipe', socket.cast<List<int>>().pipe(socket));
      });
      final client = await log.connect(server);
      final stream = log('client').watch(client);
      client.add(utf8.encode('hello'));
      await stream.received(5);
      log('client.out').outcome('done', client.done);
      await log('client.out').outcome('close', client.close());
      await stream.done;
    },
    expected: [
      'client: data "hello"',
      'client: done',
      'client.out: done: a Socket',
      'client.out: close: a Socket',
      'server: pipe: a Socket',
    ],
  );

  conforms(
    'the one that was accepted may speak first',
    (log) async {
      final (client, server) = await log.pair();
      server.write('welcome');
      await log('server.out').outcome('close', server.close());
      await log('client').watch(client).done;
      client.write('thanks');
      await log('client.out').outcome('close', client.close());
      await log('server').watch(server).done;
    },
    expected: [
      'client: data "welcome"',
      'client: done',
      'client.out: close: a Socket',
      'server: data "thanks"',
      'server: done',
      'server.out: close: a Socket',
    ],
  );

  conforms(
    'flush, close and done complete in this order, with the socket itself',
    (log) async {
      final (client, server) = await log.pair();
      server.listen((_) {});
      client.write('hello');
      client.done.then((value) => log('out')('done: ${identical(value, client)}'));
      final flush = client.flush().then((value) => log('out')('flush: ${identical(value, client)}'));
      await flush;
      await client.close().then((value) => log('out')('close: ${identical(value, client)}'));
      log('out')('behind');
    },
  );

  conforms(
    'flush and close complete when nothing was written',
    (log) async {
      final (client, server) = await log.pair();
      await log('out').outcome('flush', client.flush());
      await log('out').outcome('flush', client.flush());
      await log('out').outcome('close', client.close());
      await log('in').watch(server).done;
    },
    expected: ['in: done', 'out: flush: an IOSink', 'out: flush: an IOSink', 'out: close: a Socket'],
  );

  conforms(
    'close can be called again, and done was there from the beginning',
    (log) async {
      final (client, server) = await log.pair();
      server.listen((_) {});
      final done = client.done;
      final close = client.close();
      log('out')('done is always the same: ${identical(done, client.done)}');
      log('out')('close is done: ${identical(close, done)}');
      await log('out').outcome('first', close);
      await log('out').outcome('second', client.close());
      await log('out').outcome('done', done);
    },
  );

  conforms(
    'what was written before close arrives, without a flush',
    (log) async {
      final (client, server) = await log.pair();
      for (var i = 0; i < 100; i++) {
        client.add(pattern(1000, i + 1));
      }
      unawaited(client.close());
      await log('in').watch(server).done;
    },
  );

  conforms(
    'a thousand single bytes arrive in their order',
    (log) async {
      final (client, server) = await log.pair();
      final bytes = pattern(1000);
      for (final byte in bytes) {
        client.add([byte]);
      }
      unawaited(client.close());
      await log('in').watch(server).done;
    },
  );

  conforms(
    'both ends may send a megabyte at the same time',
    (log) async {
      final (client, server) = await log.pair();
      client.add(pattern(1 << 20, 3));
      server.add(pattern(1 << 20, 5));
      unawaited(client.close());
      unawaited(server.close());
      final ends = [log('client').watch(client), log('server').watch(server)];
      await Future.wait([for (final end in ends) end.done]);
    },
  );

  conforms(
    'empty lists are sent as nothing',
    (log) async {
      final (client, server) = await log.pair();
      client.add([]);
      client.add(Uint8List(0));
      client.write('');
      await log('out').outcome('flush', client.flush());
      client.add([0x41]);
      await client.close();
      await log('in').watch(server).done;
    },
    expected: ['in: data "A"', 'in: done', 'out: flush: an IOSink'],
  );

  conforms(
    'bytes may be changed as soon as a flush is done, and small lists at once',
    (log) async {
      final (client, server) = await log.pair();
      final stream = log('in').watch(server);
      final small = utf8.encode('small');
      client.add(small);
      small.fillRange(0, small.length, 0x2a);
      await client.flush();
      final large = pattern(200000);
      client.add(large);
      await client.flush();
      large.fillRange(0, large.length, 0x2a);
      unawaited(client.close());
      await stream.done;
    },
  );

  conforms(
    'lists that are not of bytes are cut to bytes',
    (log) async {
      final (client, server) = await log.pair();
      client.add([65, 66 + 256, 67 - 256]);
      client.add(Uint16List.fromList([68, 69 + 256]));
      client.add(Int8List.fromList([70, 71]));
      client.add(const [72, 73]);
      client.add(List<int>.unmodifiable([74]));
      client.add(Uint8List.fromList([0, 75, 76, 0]).sublist(1, 3));
      client.add(Uint8List.sublistView(Uint8List.fromList([0, 77, 78, 0]), 1, 3));
      client.add(Uint8List.fromList([79]).asUnmodifiableView());
      client.add('PQ'.codeUnits);
      client.add(Uint8ClampedList.fromList([82, 83]));
      unawaited(client.close());
      await log('in').watch(server).done;
    },
    expected: ['in: data "ABCDEFGHIJKLMNOPQRS"', 'in: done'],
  );

  conforms(
    'what is received belongs to the receiver',
    (log) async {
      final (client, server) = await log.pair();
      final lists = <Uint8List>[];
      final received = Completer<void>();
      final subscription = server.listen((data) {
        for (var i = 0; i < data.length; i++) {
          data[i] ^= 0x20;
        }
        lists.add(data);
        if (lists.fold(0, (sum, list) => sum + list.length) == 4) received.complete();
      });
      client.write('AB');
      await client.flush();
      client.write('CD');
      await client.flush();
      await received.future;
      await subscription.cancel();
      for (final list in lists) {
        log('in').data(list);
      }
    },
    expected: ['in: data "abcd"'],
  );

  conforms('many exchanges on one connection', (log) async {
    final (client, server) = await log.pair();
    server.listen((data) => server.add([for (final byte in data) byte ^ 1]), onDone: server.close);
    final answers = StreamIterator(client);
    var sum = 0;
    for (var i = 0; i < 1000; i++) {
      client.add([i & 255]);
      if (!await answers.moveNext()) break;
      sum += answers.current.single;
    }
    log('client')('sum $sum');
    unawaited(client.close());
    log('client')('more: ${await answers.moveNext()}');
  });

  conforms('a proxy hands on both ways, and both ends', (log) async {
    final server = await log.bind();
    server.listen((socket) {
      log.own(socket);
      final request = log('server').watch(socket);
      request.done.then((_) async {
        socket.write('the answer');
        await log('server.out').outcome('close', socket.close());
      });
    });
    final proxy = await log.bind();
    proxy.listen((front) async {
      log.own(front);
      final back = await log.connect(server);
      unawaited(log('proxy.up').outcome('pipe', front.cast<List<int>>().pipe(back)));
      unawaited(log('proxy.down').outcome('pipe', back.cast<List<int>>().pipe(front)));
    });
    final client = await log.connect(proxy);
    client.write('a question');
    await log('client.out').outcome('close', client.close());
    await log('client').watch(client).done;
  });
}

void halfClose() {
  for (final accepted in [false, true]) {
    final which = accepted ? 'an accepted socket' : 'a connected socket';

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

void pausing() {
  conforms(
    'nothing comes while paused from the beginning, and then everything',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      final stream = log('in').watch(socket)..subscription.pause();
      await peer.write(utf8.encode('hello'));
      peer.shutdown();
      await turns(20);
      log('in')('resume');
      stream.subscription.resume();
      await stream.done;
    },
    expected: ['in: resume', 'in: data "hello"', 'in: done'],
  );

  conforms(
    'nothing comes while paused in the middle, not even the end',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      final stream = log('in').watch(socket);
      await peer.write(utf8.encode('one'));
      await stream.received(3);
      stream.subscription.pause();
      log('in')('pause');
      await peer.write(utf8.encode('two'));
      peer.shutdown();
      await turns(20);
      log('in')('resume');
      stream.subscription.resume();
      await stream.done;
    },
    expected: ['in: data "one"', 'in: pause', 'in: resume', 'in: data "two"', 'in: done'],
  );

  conforms('a pause in the callback holds from there on', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    late final Watched stream;
    var paused = 0;
    stream = log('in').watch(
      socket,
      onData: (_) {
        paused++;
        stream.subscription.pause();
        log('in')('pause');
        scheduleMicrotask(() {
          log('in')('resume');
          stream.subscription.resume();
        });
      },
    );
    await peer.write(utf8.encode('one'));
    await stream.received(3);
    await peer.write(utf8.encode('two'));
    await stream.received(6);
    peer.shutdown();
    await stream.done;
    log('in')('paused $paused times');
  });

  conforms(
    'as many resumes as pauses',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      final stream = log('in').watch(socket);
      stream.subscription
        ..pause()
        ..pause();
      await peer.write(utf8.encode('hello'));
      peer.shutdown();
      await turns(20);
      stream.subscription.resume();
      log('in')('one resume, paused: ${stream.subscription.isPaused}');
      await turns(20);
      log('in')('another');
      stream.subscription.resume();
      await stream.done;
    },
    expected: ['in: one resume, paused: true', 'in: another', 'in: data "hello"', 'in: done'],
  );

  conforms(
    'a future resumes',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      final signal = Completer<void>();
      final stream = log('in').watch(socket)..subscription.pause(signal.future);
      await peer.write(utf8.encode('hello'));
      peer.shutdown();
      await turns(20);
      log('in')('signal');
      signal.complete();
      await stream.done;
    },
    expected: ['in: signal', 'in: data "hello"', 'in: done'],
  );

  conforms('sending goes on while receiving is paused', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket)..subscription.pause();
    await peer.write(utf8.encode('unread'));
    socket.add(pattern(300000));
    await log('out').outcome('flush', socket.flush().timeout(const Duration(seconds: 5)).catchError((_) {}));
    await peer.received(300000);
    stream.subscription.resume();
    await stream.received(6);
    peer.shutdown();
    await stream.done;
  });

  conforms('many pauses and resumes lose nothing', (log) async {
    final (client, server) = await log.pair();
    late final Watched stream;
    stream = log('in').watch(
      server,
      onData: (_) {
        stream.subscription.pause();
        Timer.run(stream.subscription.resume);
      },
    );
    unawaited(log('out').outcome('addStream', client.addStream(pieces(100, 5000)).then((_) => client.close())));
    await stream.done;
  });

  conforms('await for holds the peer back by itself', (log) async {
    final (client, server) = await log.pair();
    client.add(pattern(300000));
    unawaited(client.close());
    await for (final data in server) {
      await turns(1);
      log('in').data(data);
    }
    log('in')('done');
  });
}

void cancelling() {
  for (final accepted in [false, true]) {
    final which = accepted ? 'an accepted socket' : 'a connected socket';
    conforms(
      'sending goes on after receiving was cancelled, on $which',
      (log) async {
        final (socket, peer) = await RawPeer.of(log, accepted: accepted);
        final stream = log('in').watch(socket);
        await peer.write(utf8.encode('hello'));
        await stream.received(5);
        await log('in').outcome('cancel', stream.subscription.cancel());
        socket.write('goodbye');
        await log('out').outcome('close', socket.close());
        await peer.ended();
      },
      expected: [
        'in: data "hello"',
        'in: cancel: null',
        'out: close: a Socket',
        'peer: data "goodbye"',
        'peer: end',
      ],
    );
  }

  conforms(
    'cancelling alone does not tell the peer anything',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      await socket.listen(null).cancel();
      peer.read();
      await turns(20);
      log('peer')('nothing so far');
      socket.write('sent later');
      await peer.received(10);
      await socket.close();
      await peer.ended();
    },
    expected: ['peer: nothing so far', 'peer: data "sent later"', 'peer: end'],
  );

  conforms('close, then cancel: the peer sees the end', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    await log('out').outcome('close', socket.close());
    await log('in').outcome('cancel', stream.subscription.cancel());
    await peer.ended();
  }, expected: ['in: cancel: null', 'out: close: a Socket', 'peer: end']);

  conforms('first takes the beginning, and an answer can be sent', (log) async {
    final (client, server) = await log.pair();
    client.write('hello');
    final data = await server.first;
    log('in').data(data);
    server.write('enough');
    await log('out').outcome('close', server.close());
    await log('client').watch(client).done;
  });

  conforms('a break out of await for cancels', (log) async {
    final (client, server) = await log.pair();
    client.write('hello');
    await for (final data in server) {
      log('in').data(data);
      break;
    }
    server.write('enough');
    await log('out').outcome('close', server.close());
    await log('client').watch(client).done;
  });

  conforms('cancelled in the callback, nothing else comes', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    peer.isQuiet = true; // ends or resets, for there is more
    late final Watched stream;
    stream = log('in').watch(socket, onData: (_) => stream.subscription.cancel());
    await peer.write(utf8.encode('hello'));
    await stream.received(5);
    await peer.write(utf8.encode('more'));
    peer.shutdown();
    await turns(20);
    socket.write('goodbye');
    await log('out').outcome('close', socket.close());
    await peer.received(7);
  });

  conforms('cancelled while paused', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket)..subscription.pause();
    await log('in').outcome('cancel', stream.subscription.cancel());
    socket.write('goodbye');
    await log('out').outcome('close', socket.close());
    await peer.ended();
  });

  conforms('a second subscription after a cancelled one is an error', (log) async {
    final (socket, _) = await RawPeer.of(log);
    await socket.listen((_) {}).cancel();
    log('in').tries('listen', () => socket.listen((_) {}));
  });
}

void listening() {
  conforms('a socket has one listener', (log) async {
    final (socket, _) = await RawPeer.of(log);
    log('in')('broadcast: ${socket.isBroadcast}');
    socket.listen((_) {});
    log('in').tries('listen', () => socket.listen((_) {}));
  });

  conforms(
    'whoever listens late gets everything',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      await peer.write(utf8.encode('early'));
      await peer.close();
      await turns(20);
      await log('in').watch(socket).done;
    },
    expected: ['in: data "early"', 'in: done'],
  );

  conforms('listening after the end is an error', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    await peer.close();
    await log('in').watch(socket).done;
    log('in').tries('listen', () => socket.listen((_) {}));
  });

  conforms('handlers can be set later, and the subscription is not cancelled by onDone', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final done = Completer<void>();
    final subscription = socket.listen(null);
    subscription.onData(log('in').data);
    subscription.onDone(() {
      log('in')('done');
      done.complete();
    });
    await peer.write(utf8.encode('hello'));
    await peer.close();
    await done.future;
    await log('in').outcome('cancel', subscription.cancel());
  });

  conforms('asFuture completes at the end', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    await peer.write(utf8.encode('hello'));
    await peer.close();
    await log('in').outcome('asFuture', socket.listen(log('in').data).asFuture<String>('a value'));
  });

  conforms('as a broadcast stream', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = socket.asBroadcastStream();
    final one = log('one').watch(stream), two = log('two').watch(stream);
    await peer.write(utf8.encode('hello'));
    await peer.close();
    await Future.wait([one.done, two.done]);
  });

  conforms('the operations of streams', (log) async {
    Future<Socket> saying(String text) async {
      final (socket, peer) = await RawPeer.of(log);
      await peer.write(utf8.encode(text));
      await peer.close();
      return socket;
    }

    final notes = log('in');
    notes(await utf8.decodeStream(await saying('decodeStream')));
    notes(await (await saying('transform')).cast<List<int>>().transform(utf8.decoder).join());
    await for (final line
        in (await saying('a\nb\nc')).cast<List<int>>().transform(utf8.decoder).transform(const LineSplitter())) {
      notes(line);
    }
    notes(await utf8.decoder.bind(await saying('bind')).join());
    notes('${await (await saying('fold')).fold<int>(0, (sum, data) => sum + data.length)}');
    await notes.outcome('drain', (await saying('drain')).drain<void>());
    await notes.outcome('isEmpty', (await saying('x')).isEmpty);
    await notes.outcome('isEmpty', (await saying('')).isEmpty);
    await notes.outcome('first', (await saying('')).first);
    await notes.outcome('timeout', (await saying('x')).timeout(const Duration(seconds: 5)).length);
    notes('${(await saying('x')).runtimeType == Null}');
  });
}
