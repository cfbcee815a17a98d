/// ServerSocket: how it ends, and what becomes of its connections.
library;

import 'dart:async';
import 'dart:io';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  closing();
  return runTests(arguments);
}

void closing() {
  conforms('close ends the stream, and completes with the server', (log) async {
    final server = await log.bind();
    final done = Completer<void>();
    server.listen((_) {}, onDone: () {
      log('server')('done');
      done.complete();
    });
    final closed = await server.close();
    log('close')('the server itself: ${identical(closed, server)}');
    await done.future;
    log('close')('again: ${identical(await server.close(), server)}');
  });

  conforms('close before listening', (log) async {
    final server = await log.bind();
    await log('server').outcome('close', server.close());
    final list = server.toList().then<Object?>((sockets) => sockets.length);
    await log('server').settles('toList', list);
  });

  conforms('what it is called after close', (log) async {
    final server = await log.bind();
    final port = server.port;
    await server.close();
    log('server').tries('port', () => server.port == port);
    log('server').tries('address', () => server.address);
  });

  conforms('what it is called after close, if nobody asked before', (log) async {
    final server = await ServerSocket.bind('127.0.0.1', 0);
    await server.close();
    log('server').tries('address', () => server.address);
  });

  conforms('a connection that waits is broken by close', (log) async {
    final server = await log.bind();
    final client = await log.connect(server);
    await server.close();
    await log('in').watch(client).done;
  });

  conforms('connections that were accepted live on', (log) async {
    final server = await log.bind();
    final accepted = Completer<Socket>();
    server.listen(accepted.complete);
    final client = await log.connect(server);
    final served = log.own(await accepted.future);
    await server.close();
    served.write('still here');
    unawaited(served.close());
    await log('client').watch(client).done;
  });

  conforms('cancelling the subscription closes the server', (log) async {
    final server = await log.bind();
    final ServerSocket(:address, :port) = server;
    final subscription = server.listen((_) {});
    await log('server').outcome('cancel', subscription.cancel());
    await nobodyListens(address, port);
    await log('server').outcome('close', server.close());
  });

  conforms('close in the callback', (log) async {
    final server = await log.bind();
    final done = Completer<void>();
    server.listen((socket) {
      log('server')('a connection');
      socket.destroy();
      server.close();
    }, onDone: () {
      log('server')('done');
      done.complete();
    });
    final client = await log.connect(server);
    await done.future;
    await log('client').watch(client).done;
  });

  conforms('close while paused', (log) async {
    final server = await log.bind();
    final done = Completer<void>();
    final subscription = server.listen((socket) => log('server')('a connection'), onDone: () {
      log('server')('done');
      done.complete();
    })
      ..pause();
    await log('server').outcome('close', server.close());
    await turns(10);
    log('server')('resume');
    subscription.resume();
    await done.future;
  });

  conforms('an await for ends', (log) async {
    final server = await log.bind();
    final client = await log.connect(server);
    await for (final socket in server) {
      log('server')('a connection');
      socket.destroy();
      unawaited(server.close());
    }
    log('server')('behind');
    await log('client').watch(client).done;
  });
}
