/// What who listens to a socket can do: pause, cancel, and all that streams offer.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  pausing();
  cancelling();
  listening();
  return runTests(arguments);
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
  for (final (:accepted, :which) in origins) {
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
