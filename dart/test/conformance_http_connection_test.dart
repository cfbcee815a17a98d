/// How HTTP uses connections: how many, how long, and how they come to serve something else.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'support/conformance.dart';
import 'support/http.dart';

Future<void> main(List<String> arguments) {
  connections();
  detaching();
  return runTests(arguments);
}

void connections() {
  conforms('ten requests one after the other share a connection', (log) async {
    final ports = <int>{};
    final server = await log.serve((request) {
      ports.add(request.connectionInfo!.remotePort);
      request.response.write('hello');
      request.response.close();
    });
    final client = log.httpClient();
    for (var i = 0; i < 10; i++) {
      log('client')(await utf8.decodeStream(await client.ask(server)));
      await turns(1); // if the body ends in a piece of its own, the client is told before the connection is free again
    }
    log('server')('${ports.length} connections');
  });

  conforms('Connection: close', (log) async {
    final ports = <int>{};
    final server = await log.serve((request) {
      ports.add(request.connectionInfo!.remotePort);
      request.response
        ..persistentConnection = false
        ..write('hello')
        ..close();
    });
    final client = log.httpClient();
    for (var i = 0; i < 20; i++) {
      final response = await client.ask(server);
      log('client')('${response.persistentConnection} ${await utf8.decodeStream(response)}');
    }
    log('server')('${ports.length} connections');
  });

  conforms('200 requests at the same time', (log) async {
    final ports = <int>{};
    final all = Completer<void>();
    var count = 0;
    final server = await log.serve((request) async {
      ports.add(request.connectionInfo!.remotePort);
      if (++count == 200) all.complete();
      await all.future;
      request.response.write(request.uri.path);
      await request.response.close();
    });
    final client = log.httpClient();
    final answers = await Future.wait([
      for (var i = 0; i < 200; i++)
        () async {
          await turns(i ~/ 10); // a wave, not a flood: the system lets only so many wait
          return await utf8.decodeStream(await client.ask(server, '/$i')) == '/$i';
        }(),
    ]);
    log('client')('${answers.where((right) => right).length} right');
    log('server')('${ports.length} connections');
  });

  conforms('200 requests over ten connections', (log) async {
    final ports = <int>{};
    final server = await log.serve((request) {
      ports.add(request.connectionInfo!.remotePort);
      request.response.write(request.uri.path);
      request.response.close();
    });
    final client = log.httpClient()..maxConnectionsPerHost = 10;
    final answers = await Future.wait([
      for (var i = 0; i < 200; i++) () async => await utf8.decodeStream(await client.ask(server, '/$i')) == '/$i',
    ].map((answer) => answer()));
    log('client')('${answers.where((right) => right).length} right');
    log('server')('at most ten connections: ${ports.length <= 10}');
  });

  conforms('the idle timeout of the client', (log) async {
    final server = await log.serve(sayHello);
    final client = log.httpClient()..idleTimeout = const Duration(milliseconds: 1);
    await (await client.ask(server)).drain<void>();
    await eventually(() => server.connectionsInfo().total == 0, 'the connection is gone');
    log('client')(await utf8.decodeStream(await client.ask(server)));
  });

  conforms('the idle timeout of the server', (log) async {
    late final HttpServer server;
    server = await log.serve((request) {
      // Not before: a connection is idle until its first request has come, and would be ended if that took longer.
      server.idleTimeout = const Duration(milliseconds: 1);
      return sayHello(request);
    });
    log('client')(await utf8.decodeStream(await log.httpClient().ask(server)));
    await eventually(() => server.connectionsInfo().total == 0, 'the connection is gone');
  });

  conforms('connectionsInfo', (log) async {
    final waiting = Completer<void>();
    final server = await log.serve((request) async {
      await waiting.future;
      await request.response.close();
    });
    final response = log.httpClient().ask(server);
    await eventually(() => server.connectionsInfo().active == 1, 'a request');
    log('server')('${server.connectionsInfo().total} ${server.connectionsInfo().idle}');
    waiting.complete();
    await (await response).drain<void>();
    await eventually(() => server.connectionsInfo().idle == 1, 'an idle connection');
  });

  conforms('a server that closes lets a request finish', (log) async {
    final asked = Completer<void>(), waiting = Completer<void>();
    final server = await log.serve((request) async {
      asked.complete();
      await waiting.future;
      request.response.write('finished');
      await request.response.close();
    });
    final client = log.httpClient();
    final response = client.ask(server);
    await asked.future;
    await server.close();
    waiting.complete();
    log('client')(await utf8.decodeStream(await response));
    await client.ask(server).then(
          (_) => log('client')('another answer'),
          onError: (Object error) => log('client')('an exception: ${error is IOException}'),
        );
  });

  conforms('a server that closes by force', (log) async {
    final asked = Completer<void>();
    final server = await log.serve((request) => asked.complete());
    final response = log.httpClient().ask(server);
    await Future.wait([
      response.then(
        (_) => log('client')('an answer'),
        onError: (Object error) => log('client')('an exception: ${error is IOException}'),
      ),
      asked.future.then((_) => server.close(force: true)),
    ]);
  });

  conforms('a client that connects to nobody', (log) async {
    final (address, port) = await deadEnd();
    try {
      await log.httpClient().get(address.address, port, '/');
    } on SocketException catch (error) {
      log('client')(describe(error));
    }
  });

  conforms('a connection timeout', (log) async {
    final (address, port) = await log.blackHole();
    final client = log.httpClient()..connectionTimeout = const Duration(milliseconds: 50);
    await client.get(address.address, port, '/').then(
          (_) => log('client')('connects'),
          onError: (Object error) => log('client')(describe(error)),
        );
  });

  conforms('a connection factory', (log) async {
    final server = await log.serve(sayHello);
    final client = log.httpClient()
      ..connectionFactory = (uri, proxyHost, proxyPort) {
        log('factory')('${uri.path} $proxyHost $proxyPort');
        return Socket.startConnect(uri.host, uri.port);
      };
    log('client')(await utf8.decodeStream(await client.ask(server, '/x')));
  });

  conforms('pipelined requests are answered in their order', (log) async {
    final server = await log.serve((request) async {
      await turns(1);
      request.response.write(request.uri.path);
      await request.response.close();
    });
    final socket = log.own(await Socket.connect('127.0.0.1', server.port));
    for (var i = 0; i < 5; i++) {
      socket.write('GET /$i HTTP/1.1\r\nHost: localhost\r\n${i == 4 ? 'Connection: close\r\n' : ''}\r\n');
    }
    final text = await utf8.decodeStream(socket);
    log('client')('${RegExp('/[0-9]').allMatches(text).map((match) => match[0]).toList()}');
  });
}

void detaching() {
  conforms('the socket of a response', (log) async {
    final server = await log.serve((request) async {
      request.response
        ..statusCode = HttpStatus.switchingProtocols
        ..headers.set('Connection', 'upgrade')
        ..headers.set('Upgrade', 'echo');
      final socket = log.own(await request.response.detachSocket());
      socket.listen(socket.add, onDone: socket.close);
    });
    final request = await log.httpClient().getUrl(uriOf(server));
    request.headers
      ..set('Connection', 'upgrade')
      ..set('Upgrade', 'echo');
    final response = await request.close();
    log('client')('${response.statusCode} ${response.headers.value('Upgrade')}');
    final socket = log.own(await response.detachSocket());
    final stream = log('client').watch(socket);
    socket.write('raw data');
    await stream.received(8);
    await socket.close();
    await stream.done;
  });

  conforms('without headers', (log) async {
    final server = await log.serve((request) async {
      final socket = log.own(await request.response.detachSocket(writeHeaders: false));
      log('server')('a socket: ${socket.remotePort > 0}');
      socket.write('no HTTP at all');
      await socket.close();
    });
    final socket = log.own(await Socket.connect('127.0.0.1', server.port));
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await log('client').watch(socket).done;
  });

  conforms('what the client has sent already is not lost', (log) async {
    final server = await log.serve((request) async {
      final socket = log.own(await request.response.detachSocket());
      final stream = log('server').watch(socket);
      await stream.received(9);
      await socket.close();
    });
    final socket = log.own(await Socket.connect('127.0.0.1', server.port));
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\r\nand data!');
    await socket.drain<void>();
  });

  conforms('much data both ways', (log) async {
    final server = await log.serve((request) async {
      request.response.statusCode = HttpStatus.switchingProtocols;
      final socket = log.own(await request.response.detachSocket());
      unawaited(socket.cast<List<int>>().pipe(socket));
    });
    final request = await log.httpClient().getUrl(uriOf(server));
    request.headers
      ..set('Connection', 'upgrade')
      ..set('Upgrade', 'echo');
    final socket = log.own(await (await request.close()).detachSocket());
    unawaited(socket.addStream(pieces(64, 65536)).then((_) => socket.close()));
    await log('client').watch(socket).done;
  });
}
