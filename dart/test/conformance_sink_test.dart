/// A socket as an IOSink: text, streams, and what is not allowed.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  text();
  streams();
  refusals();
  flushing();
  return runTests(arguments);
}

/// Runs [body] with a socket, closes it unless that was done, and notes what the peer got.
void sends(
  String name,
  FutureOr<void> Function(Log log, Socket socket) body, {
  List<String>? expected,
}) =>
    conforms(name, (log) async {
      final (client, server) = await log.pair();
      final stream = log('peer').watch(server);
      await body(log, client);
      await client.close();
      await stream.done;
    }, expected: expected);

void text() {
  sends(
    'write, writeln, writeAll and writeCharCode send text',
    (log, socket) {
      socket.write('a');
      socket.write(1);
      socket.write(2.5);
      socket.write(null);
      socket.write(['x']);
      socket.writeln();
      socket.writeln('b');
      socket.writeAll([1, 'c', null]);
      socket.writeAll([1, 2, 3], ', ');
      socket.writeAll([]);
      socket.writeCharCode(0x44);
      socket.writeCharCode(0x20ac);
    },
  );

  sends('UTF-8 is the encoding at first', (log, socket) {
    log('out')(socket.encoding.name);
    socket.write('äöü€😀');
  });

  sends('the encoding can be changed at any time', (log, socket) {
    socket.write('ä');
    socket.encoding = latin1;
    log('out')(socket.encoding.name);
    socket.write('ä');
    log('out').tries('euro in latin1', () => socket.write('€'));
    socket.encoding = ascii;
    log('out').tries('umlaut in ASCII', () => socket.write('ä'));
    socket.encoding = utf8;
    socket.write('ä');
  });

  sends('a surrogate alone', (log, socket) {
    socket.write('\ud800');
    socket.writeCharCode(0x1f600);
  });

  sends('text and bytes mixed', (log, socket) {
    socket.write('a');
    socket.add([0x62]);
    socket.writeln('c');
    socket.add(utf8.encode('d'));
  });

  sends('toString fails', (log, socket) {
    log('out').tries('write', () => socket.write(_Unprintable()));
    socket.write('next');
  });

  sends('a long text', (log, socket) {
    socket.write('0123456789' * 100000);
  });
}

final class _Unprintable {
  @override
  String toString() => throw StateError('cannot be printed');
}

void streams() {
  sends('streams one after the other', (log, socket) async {
    await log('out').outcome(
        'one',
        socket.addStream(Stream.fromIterable([
          [65],
          [66]
        ])));
    socket.write('-');
    await log('out').outcome('two', socket.addStream(Stream.value([67])));
    await log('out').outcome('none', socket.addStream(const Stream.empty()));
    socket.write('end');
  });

  sends('what was written before goes before the stream', (log, socket) async {
    socket.write('before ');
    await socket.addStream(Stream.value(utf8.encode('stream ')));
    socket.write('after');
  });

  sends('a slow stream', (log, socket) async {
    Stream<List<int>> slow() async* {
      for (var i = 0; i < 10; i++) {
        await turns(1);
        yield [48 + i];
      }
    }

    await socket.addStream(slow());
  });

  sends('a broadcast stream, and one of a sync controller', (log, socket) async {
    final broadcast = StreamController<List<int>>.broadcast(sync: true);
    final adding = socket.addStream(broadcast.stream);
    broadcast
      ..add([65])
      ..add([66]);
    unawaited(broadcast.close());
    await adding;
  });

  conforms('a stream with an error: the socket is destroyed, and addStream fails', (log) async {
    final (client, server) = await log.pair();
    final mine = log('in').watch(client);
    final theirs = log('peer').watch(server);
    final source = StreamController<List<int>>(onCancel: () => log('source')('cancelled'));
    final adding = log('out').outcome('addStream', client.addStream(source.stream));
    source.add(utf8.encode('hello'));
    await theirs.received(5);
    source.addError(StateError('no more'));
    await adding;
    await mine.done;
    await theirs.done;
    await log('done').settles('done', client.done);
  });

  conforms('a stream that is an error from the beginning', (log) async {
    final (client, server) = await log.pair();
    final theirs = log('peer').watch(server);
    await log('out').outcome('addStream', client.addStream(Stream.error(StateError('nothing'))));
    await theirs.done;
    await log('close').settles('close', client.close());
  });

  conforms('pipe closes', (log) async {
    final (client, server) = await log.pair();
    final theirs = log('peer').watch(server);
    await log('out').outcome('pipe', Stream<List<int>>.value(utf8.encode('hello')).pipe(client));
    await theirs.done;
    log('out').tries('write', () => client.write('more'));
  });

  conforms('pipe of a stream with an error', (log) async {
    final (client, server) = await log.pair();
    final theirs = log('peer').watch(server);
    Stream<List<int>> source() async* {
      yield utf8.encode('hello');
      await theirs.received(5);
      throw StateError('no more');
    }

    await log('out').outcome('pipe', source().pipe(client));
    await theirs.done;
  });

  conforms('addStream after close', (log) async {
    final (client, server) = await log.pair();
    server.listen((_) {});
    await client.close();
    await log('out').outcome('addStream', client.addStream(const Stream.empty()));
  });

  conforms('a source that never ends is held, and cancelled by destroy', (log) async {
    final (client, server) = await log.pair();
    server.listen((_) {});
    final source = StreamController<List<int>>(
      onListen: () => log('source')('listened to'),
      onCancel: () => log('source')('cancelled'),
    );
    final adding = log('out').outcome('addStream', client.addStream(source.stream));
    await turns(10);
    client.destroy();
    await adding;
  });

  sends('bytes that are no bytes in a stream', (log, socket) async {
    await socket.addStream(Stream.fromIterable([
      [65 + 256, 66 - 256],
      Uint8List(0),
      [],
      Uint16List.fromList([67]),
    ]));
  });
}

void refusals() {
  conforms(
    'nothing can be written after close',
    (log) async {
      final (client, server) = await log.pair();
      server.listen((_) {});
      await client.close();
      log('out').tries('add', () => client.add([1]));
      log('out').tries('write', () => client.write('a'));
      log('out').tries('write nothing', () => client.write(''));
      log('out').tries('writeln', client.writeln);
      log('out').tries('writeAll', () => client.writeAll(['a']));
      log('out').tries('writeCharCode', () => client.writeCharCode(65));
      log('out').tries('encoding', () => client.encoding = latin1);
      await log('flush').settles('flush', client.flush());
      await log('close').settles('close', client.close());
    },
  );

  conforms('nothing can be written while close is under way', (log) async {
    final (client, server) = await log.pair();
    server.listen((_) {});
    client.write('hello');
    final close = client.close();
    log('out').tries('add', () => client.add([1]));
    log('out').tries('write', () => client.write('more'));
    await close;
  });

  sends('nothing can be written while a stream is added', (log, socket) async {
    final source = StreamController<List<int>>();
    final adding = socket.addStream(source.stream);
    log('out').tries('add', () => socket.add([65]));
    log('out').tries('write', () => socket.write('A'));
    log('out').tries('addStream', () => socket.addStream(const Stream.empty()) is Future);
    log('out').tries('flush', () => socket.flush() is Future);
    log('out').tries('close', () => socket.close() is Future);
    source.add([66]);
    await source.close();
    await adding;
    socket.write('C');
  });

  sends('errors cannot be sent', (log, socket) {
    log('out').tries('addError', () => socket.addError(StateError('an error')));
    socket.write('but text');
  });

  conforms('types', (log) async {
    final (client, _) = await log.pair();
    final Object object = client;
    log('socket')('IOSink: ${object is IOSink}');
    log('socket')('Stream<Uint8List>: ${object is Stream<Uint8List>}');
    log('socket')('StreamConsumer<List<int>>: ${object is StreamConsumer<List<int>>}');
    log('socket')('StringSink: ${object is StringSink}');
    final Object data = await (client..destroy()).toList();
    log('socket')('List<Uint8List>: ${data is List<Uint8List>}');
  });
}

void flushing() {
  sends('a second flush during the first is an error', (log, socket) async {
    socket.write('hello');
    final first = socket.flush();
    log('out').tries('flush', () => socket.flush() is Future);
    log('out').tries('write', () => socket.write('x'));
    await first;
    socket.write(' and on');
  });

  sends('writing goes on after a flush', (log, socket) async {
    for (var i = 0; i < 10; i++) {
      socket.write('$i');
      await log('out').outcome('flush', socket.flush());
    }
  });

  sends('close during a flush', (log, socket) async {
    socket.write('hello');
    await log('out').outcome('flush', socket.flush());
    socket.write('hello');
    final flush = socket.flush();
    log('out').tries('close', () => socket.close() is Future);
    await flush;
  });

  sends('flush of what is much', (log, socket) async {
    socket.add(pattern(8 << 20));
    await log('out').outcome('flush', socket.flush());
    socket.write('and a little');
    await log('out').outcome('flush', socket.flush());
  });
}
