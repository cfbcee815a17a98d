/// What a socket sends and receives, and in which order it tells.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:typed_data';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  exchange();
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
