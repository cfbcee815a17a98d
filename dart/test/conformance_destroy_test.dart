/// destroy, in every phase of a socket's life.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  for (final (:accepted, :which) in origins) {
    idle(accepted: accepted, which: which);
  }
  receiving();
  sending();
  afterwards();
  return runTests(arguments);
}

void idle({required bool accepted, required String which}) {
  conforms(
    'before listening, $which: the peer sees the end, and so does who listens later',
    (log) async {
      final (socket, peer) = await RawPeer.of(log, accepted: accepted);
      socket.destroy();
      await peer.ended();
      await log('in').watch(socket).done;
      await log('out').settles('done', socket.done);
    },
  );

  void whileListening(String name, [Future<void> Function(Log log, Socket socket)? before]) =>
      conforms(name, (log) async {
        final (socket, peer) = await RawPeer.of(log, accepted: accepted);
        final stream = log('in').watch(socket);
        await before?.call(log, socket);
        socket.destroy();
        await stream.done;
        await peer.ended();
        await log('out').settles('done', socket.done);
      });

  whileListening('while listening, $which: the end, without an error');

  whileListening('after something was written and flushed, $which: it arrives', (log, socket) async {
    socket.write('goodbye');
    await socket.flush();
  });

  whileListening('after close, $which', (log, socket) async {
    socket.write('goodbye');
    await log('out').outcome('close', socket.close());
  });

  conforms('after the end of the peer, $which', (log) async {
    final (socket, peer) = await RawPeer.of(log, accepted: accepted);
    peer.shutdown();
    await log('in').watch(socket).done;
    socket.destroy();
    await peer.ended();
    await log('out').settles('done', socket.done);
  });
}

void receiving() {
  conforms('twice is as good as once', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    socket.destroy();
    socket.destroy();
    await stream.done;
    socket.destroy();
    await peer.ended();
  });

  conforms('in the callback of data: no more data, and the end', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(
      socket,
      onData: (_) {
        log('in')('destroy');
        socket.destroy();
        log('in')('destroyed');
      },
    );
    await peer.write(utf8.encode('hello'));
    await stream.done;
    await peer.ended();
  });

  conforms('in the callback of the end', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket, onDone: socket.destroy);
    await peer.write(utf8.encode('hello'));
    peer.shutdown();
    await stream.done;
    await peer.ended();
  });

  conforms('in the callback of accept', (log) async {
    final server = await log.bind();
    server.listen((socket) => socket.destroy());
    final client = await log.connect(server);
    await log('client').watch(client).done;
  });

  conforms('right after connecting', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    (await log.connect(server)).destroy();
    await log('server').watch(log.own(await accepted)).done;
  });

  conforms('while paused: the end comes on resuming', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket)..subscription.pause();
    socket.destroy();
    await peer.ended();
    await turns(10);
    log('in')('resume');
    stream.subscription.resume();
    await stream.done;
  });

  conforms('while paused with data waiting: nothing comes but the end', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket)..subscription.pause();
    peer.isQuiet = true; // whether a read before the pause has taken the data decides between the end and a reset
    await peer.write(utf8.encode('hello'));
    socket.destroy();
    await peer.ended();
    await turns(10);
    log('in')('resume');
    stream.subscription.resume();
    await stream.done;
  });

  conforms('after cancelling: nothing comes', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    await stream.subscription.cancel();
    socket.destroy();
    await peer.ended();
    await turns(10);
    log('in')('nothing');
  });

  conforms('an await for ends, without an error', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    await peer.write(utf8.encode('hello'));
    await for (final data in socket) {
      log('in').data(data);
      socket.destroy();
    }
    log('in')('behind');
    await peer.ended();
  });

  conforms('with data unread: the peer sees that something was lost', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    await peer.write(pattern(1000));
    socket.destroy();
    await peer.ended();
  });

  conforms('with much data unread: the peer sees that something was lost', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final all = peer.write(pattern(16 << 20));
    await turns(50);
    socket.destroy();
    await peer.ended();
    await all;
  });
}

void sending() {
  conforms('while much is being sent: the peer gets the beginning', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    final all = log('peer').beginningOf = pattern(16 << 20);
    socket.add(all);
    final done = log('out').outcome('done', socket.done);
    await turns(3);
    socket.destroy();
    await stream.done;
    await done;
    await peer.ended();
  });

  conforms('while a flush waits', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    socket.add(pattern(32 << 20));
    final flush = log('flush').outcome('flush', socket.flush());
    socket.destroy();
    await stream.done;
    await flush;
    await log('out').settles('done', socket.done);
    await peer.close();
  });

  conforms('while a close waits', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    socket.add(pattern(32 << 20));
    final close = log('out').outcome('close', socket.close());
    await turns(3);
    socket.destroy();
    await stream.done;
    await close;
    await peer.close();
  });

  conforms('while a stream is added: the stream is cancelled', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    final source = StreamController<List<int>>(
      onCancel: () => log('source')('cancelled'),
      onPause: () => log('source')('paused'),
    );
    final adding = log('out').outcome('addStream', socket.addStream(source.stream));
    source.add(utf8.encode('hello'));
    await peer.received(5);
    socket.destroy();
    await stream.done;
    await adding;
    await log('out').settles('done', socket.done);
    await peer.ended();
  });

  conforms('while a stream is held back: the stream is cancelled', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    final source = StreamController<List<int>>(onCancel: () => log('source')('cancelled'));
    final adding = log('out').outcome('addStream', socket.addStream(source.stream));
    for (var i = 0; i < 16; i++) {
      source.add(pattern(1 << 20));
    }
    await eventually(() => source.isPaused, 'the source is paused');
    socket.destroy();
    await stream.done;
    await adding;
    await peer.close();
  });

  conforms('in the stream that is added', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    Stream<List<int>> source() async* {
      yield utf8.encode('one');
      await peer.received(3);
      socket.destroy();
      yield utf8.encode('two');
      log('source')('goes on');
    }

    await log('out').outcome('addStream', socket.addStream(source()));
    await stream.done;
    await peer.ended();
  });
}

void afterwards() {
  conforms('writing is ignored', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    socket.destroy();
    log('out').tries('add', () => socket.add([1, 2, 3]));
    log('out').tries('write', () => socket.write('hello'));
    log('out').tries('writeln', socket.writeln);
    log('out').tries('writeAll', () => socket.writeAll(['a', 'b']));
    log('out').tries('writeCharCode', () => socket.writeCharCode(65));
    await log('flush').settles('flush', socket.flush());
    await log('close').settles('close', socket.close());
    await peer.ended();
  });

  conforms('writing is ignored, if something was written before, which arrives', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    socket.write('hello');
    await socket.flush();
    socket.destroy();
    await turns();
    log('out').tries('write', () => socket.write('lost'));
    await log('flush').settles('flush', socket.flush());
    await log('close').settles('close', socket.close());
    await peer.ended();
  });

  conforms('what was written before without a flush arrives, if it is little', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    socket.write('goodbye');
    socket.destroy();
    await peer.ended();
  });

  conforms('an added stream', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    socket.destroy();
    final source = StreamController<List<int>>(
      onListen: () => log('source')('listened to'),
      onCancel: () => log('source')('cancelled'),
    );
    source.add([1, 2, 3]);
    await log('out').settles('addStream', socket.addStream(source.stream));
    await peer.ended();
  });

  conforms('close', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    socket.destroy();
    await log('out').settles('close', socket.close());
    await log('out').settles('done', socket.done);
    await peer.ended();
  });

  for (final listens in [true, false]) {
    conforms('a peer that ${listens ? 'listens and ' : ''}writes on learns that nobody is there any more', (log) async {
      final (socket, peer) = await RawPeer.of(log);
      await peer.close();
      if (listens) await log('in').watch(socket).done;
      await writeUntil(socket, log('out').outcome('done', socket.done));
    });
  }
}
