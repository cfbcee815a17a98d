/// dart:io's HttpServer and HttpClient.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  requests();
  connections();
  bodies();
  accidents();
  detaching();
  return runTests(arguments);
}

Future<HttpServer> _serve(Log log, FutureOr<void> Function(HttpRequest request) answer) async {
  final server = await HttpServer.bind(InternetAddress.loopbackIPv4, 0);
  log.atEnd(() => server.close(force: true));
  server.listen((request) => answer(request));
  return server;
}

HttpClient _client(Log log) {
  final client = HttpClient();
  log.atEnd(() => client.close(force: true));
  return client;
}

Uri _uri(HttpServer server, [String path = '/']) => Uri.parse('http://127.0.0.1:${server.port}$path');

Future<HttpClientResponse> _get(HttpClient client, HttpServer server, [String path = '/']) async =>
    (await client.getUrl(_uri(server, path))).close();

void requests() {
  conforms('GET', (log) async {
    final server = await _serve(log, (request) {
      log('server')('${request.method} ${request.uri} ${request.protocolVersion}');
      log('server')('persistent: ${request.persistentConnection}, length: ${request.contentLength}');
      request.response
        ..headers.contentType = ContentType.text
        ..write('hello')
        ..close();
    });
    final response = await _get(_client(log), server, '/path?query=1');
    log('client')('${response.statusCode} ${response.reasonPhrase} ${response.contentLength}');
    log('client')('${response.headers.contentType}');
    log('client')(await utf8.decodeStream(response));
  });

  conforms('who is at the other end', (log) async {
    final server = await _serve(log, (request) {
      final info = request.connectionInfo!;
      log('server')('${describe(info.remoteAddress)}, ${info.remotePort > 0}, ${info.localPort == request.uri.port}');
      request.response.write('${info.remotePort}');
      request.response.close();
    });
    final response = await _get(_client(log), server);
    final info = response.connectionInfo!;
    log('client')('${describe(info.remoteAddress)}, ${info.remotePort == server.port}');
    log('client')('my port: ${await utf8.decodeStream(response) == '${info.localPort}'}');
    log('server')('${describe(server.address)}, ${server.port > 0}');
  });

  conforms('POST with an echo', (log) async {
    final server = await _serve(log, (request) async {
      request.response.headers.contentType = request.headers.contentType;
      await request.response.addStream(request);
      await request.response.close();
    });
    final request = await _client(log).postUrl(_uri(server));
    request.headers.contentType = ContentType.json;
    request.write('{"a": 1}');
    final response = await request.close();
    log('client')('${response.headers.contentType} ${await utf8.decodeStream(response)}');
  });

  conforms('404, and others', (log) async {
    final server = await _serve(log, (request) {
      request.response.statusCode = int.parse(request.uri.path.substring(1));
      request.response.close();
    });
    final client = _client(log);
    for (final status in [200, 204, 304, 404, 418, 500, 503]) {
      final response = await _get(client, server, '/$status');
      log('client')('${response.statusCode} ${response.reasonPhrase}, ${await response.length} pieces');
    }
  });

  conforms('HEAD, PUT, DELETE, OPTIONS', (log) async {
    final server = await _serve(log, (request) async {
      final body = await utf8.decodeStream(request);
      request.response
        ..headers.set('X-Method', request.method)
        ..write(request.method == 'HEAD' ? '' : 'body: $body')
        ..close();
    });
    final client = _client(log);
    for (final method in ['HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      final request = await client.openUrl(method, _uri(server));
      if (method == 'PUT') request.write('something');
      final response = await request.close();
      log('client')('${response.headers.value('X-Method')} ${await utf8.decodeStream(response)}');
    }
  });

  conforms('redirects', (log) async {
    final server = await _serve(log, (request) {
      switch (request.uri.path) {
        case '/':
          request.response.redirect(Uri.parse('/next'));
        case '/next':
          request.response.redirect(Uri.parse('/end'), status: HttpStatus.movedPermanently);
        default:
          request.response.write('the end');
          request.response.close();
      }
    });
    final response = await _get(_client(log), server);
    log('client')('${[for (final redirect in response.redirects) redirect.location.path]}');
    log('client')(await utf8.decodeStream(response));
  });

  conforms('cookies and headers', (log) async {
    final server = await _serve(log, (request) {
      request.response
        ..cookies.add(Cookie('b', '2'))
        ..headers.set('X-Many', ['1', '2'])
        ..write('${request.cookies} ${request.headers['x-test']}')
        ..close();
    });
    final request = await _client(log).getUrl(_uri(server));
    request.cookies.add(Cookie('a', '1'));
    request.headers.add('X-Test', 'a test');
    final response = await request.close();
    log('client')('${response.headers['x-many']} ${response.cookies.single.name}');
    log('client')(await utf8.decodeStream(response));
  });

  conforms('compression', (log) async {
    final server = await _serve(log, (request) {
      request.response.write('a' * 10000);
      request.response.close();
    });
    server.autoCompress = true;
    final response = await _get(_client(log), server);
    log('client')('${response.compressionState.name} ${(await utf8.decodeStream(response)).length}');
  });
}

void connections() {
  conforms('ten requests one after the other share a connection', (log) async {
    final ports = <int>{};
    final server = await _serve(log, (request) {
      ports.add(request.connectionInfo!.remotePort);
      request.response.write('hello');
      request.response.close();
    });
    final client = _client(log);
    for (var i = 0; i < 10; i++) {
      log('client')(await utf8.decodeStream(await _get(client, server)));
      await turns(1); // if the body ends in a piece of its own, the client is told before the connection is free again
    }
    log('server')('${ports.length} connections');
  });

  conforms('Connection: close', (log) async {
    final ports = <int>{};
    final server = await _serve(log, (request) {
      ports.add(request.connectionInfo!.remotePort);
      request.response
        ..persistentConnection = false
        ..write('hello')
        ..close();
    });
    final client = _client(log);
    for (var i = 0; i < 20; i++) {
      final response = await _get(client, server);
      log('client')('${response.persistentConnection} ${await utf8.decodeStream(response)}');
    }
    log('server')('${ports.length} connections');
  });

  conforms('200 requests at the same time', (log) async {
    final ports = <int>{};
    final all = Completer<void>();
    var count = 0;
    final server = await _serve(log, (request) async {
      ports.add(request.connectionInfo!.remotePort);
      if (++count == 200) all.complete();
      await all.future;
      request.response.write(request.uri.path);
      await request.response.close();
    });
    final client = _client(log);
    final answers = await Future.wait([
      for (var i = 0; i < 200; i++)
        () async {
          await turns(i ~/ 10); // a wave, not a flood: the system lets only so many wait
          return await utf8.decodeStream(await _get(client, server, '/$i')) == '/$i';
        }(),
    ]);
    log('client')('${answers.where((right) => right).length} right');
    log('server')('${ports.length} connections');
  });

  conforms('200 requests over ten connections', (log) async {
    final ports = <int>{};
    final server = await _serve(log, (request) {
      ports.add(request.connectionInfo!.remotePort);
      request.response.write(request.uri.path);
      request.response.close();
    });
    final client = _client(log)..maxConnectionsPerHost = 10;
    final answers = await Future.wait([
      for (var i = 0; i < 200; i++) () async => await utf8.decodeStream(await _get(client, server, '/$i')) == '/$i',
    ].map((answer) => answer()));
    log('client')('${answers.where((right) => right).length} right');
    log('server')('at most ten connections: ${ports.length <= 10}');
  });

  conforms('the idle timeout of the client', (log) async {
    final server = await _serve(log, (request) {
      request.response.write('hello');
      request.response.close();
    });
    final client = _client(log)..idleTimeout = const Duration(milliseconds: 1);
    await (await _get(client, server)).drain<void>();
    await eventually(() => server.connectionsInfo().total == 0, 'the connection is gone');
    log('client')(await utf8.decodeStream(await _get(client, server)));
  });

  conforms('the idle timeout of the server', (log) async {
    final server = await _serve(log, (request) {
      request.response.write('hello');
      request.response.close();
    });
    server.idleTimeout = const Duration(milliseconds: 1);
    log('client')(await utf8.decodeStream(await _get(_client(log), server)));
    await eventually(() => server.connectionsInfo().total == 0, 'the connection is gone');
  });

  conforms('connectionsInfo', (log) async {
    final waiting = Completer<void>();
    final server = await _serve(log, (request) async {
      await waiting.future;
      await request.response.close();
    });
    final response = _get(_client(log), server);
    await eventually(() => server.connectionsInfo().active == 1, 'a request');
    log('server')('${server.connectionsInfo().total} ${server.connectionsInfo().idle}');
    waiting.complete();
    await (await response).drain<void>();
    await eventually(() => server.connectionsInfo().idle == 1, 'an idle connection');
  });

  conforms('a server that closes lets a request finish', (log) async {
    final asked = Completer<void>(), waiting = Completer<void>();
    final server = await _serve(log, (request) async {
      asked.complete();
      await waiting.future;
      request.response.write('finished');
      await request.response.close();
    });
    final client = _client(log);
    final response = _get(client, server);
    await asked.future;
    await server.close();
    waiting.complete();
    log('client')(await utf8.decodeStream(await response));
    await _get(client, server).then(
      (_) => log('client')('another answer'),
      onError: (Object error) => log('client')('an exception: ${error is IOException}'),
    );
  });

  conforms('a server that closes by force', (log) async {
    final asked = Completer<void>();
    final server = await _serve(log, (request) => asked.complete());
    final response = _get(_client(log), server);
    await Future.wait([
      response.then(
        (_) => log('client')('an answer'),
        onError: (Object error) => log('client')('an exception: ${error is IOException}'),
      ),
      asked.future.then((_) => server.close(force: true)),
    ]);
  });

  conforms('a client that connects to nobody', (log) async {
    final server = await HttpServer.bind(InternetAddress.loopbackIPv4, 0);
    final port = server.port;
    await server.close();
    try {
      await _client(log).get('127.0.0.1', port, '/');
    } on SocketException catch (error) {
      log('client')(describe(error));
    }
  });

  conforms('a connection timeout', (log) async {
    final server = await RawServerSocket.bind(InternetAddress.loopbackIPv4, 0, backlog: 1);
    log.atEnd(server.close);
    for (var i = 0; i < 2; i++) {
      final socket = await RawSocket.connect(server.address, server.port);
      log.atEnd(socket.close);
    }
    final client = _client(log)..connectionTimeout = const Duration(milliseconds: 50);
    await client.get('127.0.0.1', server.port, '/').then(
          (_) => log('client')('connects'),
          onError: (Object error) => log('client')(describe(error)),
        );
  });

  conforms('a connection factory', (log) async {
    final server = await _serve(log, (request) {
      request.response.write('hello');
      request.response.close();
    });
    final client = _client(log)
      ..connectionFactory = (uri, proxyHost, proxyPort) {
        log('factory')('${uri.path} $proxyHost $proxyPort');
        return Socket.startConnect(uri.host, uri.port);
      };
    log('client')(await utf8.decodeStream(await _get(client, server, '/x')));
  });

  conforms('pipelined requests are answered in their order', (log) async {
    final server = await _serve(log, (request) async {
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

void bodies() {
  conforms('8 MiB down', (log) async {
    final server = await _serve(log, (request) async {
      await request.response.addStream(pieces(128, 65536));
      await request.response.close();
    });
    final response = await _get(_client(log), server);
    log('client')('${response.contentLength} ${response.headers.chunkedTransferEncoding}');
    await response.forEach(log('client').data);
  });

  conforms('8 MiB down, with a length', (log) async {
    final server = await _serve(log, (request) async {
      request.response.contentLength = 8 << 20;
      request.response.add(pattern(8 << 20));
      await request.response.close();
    });
    final response = await _get(_client(log), server);
    log('client')('${response.contentLength} ${response.headers.chunkedTransferEncoding}');
    await response.forEach(log('client').data);
  });

  conforms('8 MiB up', (log) async {
    final server = await _serve(log, (request) async {
      var sum = 1, bytes = 0;
      await for (final data in request) {
        sum = checksum(data, sum);
        bytes += data.length;
      }
      request.response.write('$bytes bytes, Adler-32 ${sum.toRadixString(16)}');
      await request.response.close();
    });
    final request = await _client(log).postUrl(_uri(server));
    await request.addStream(pieces(128, 65536));
    log('client')(await utf8.decodeStream(await request.close()));
  });

  conforms('8 MiB up and down at the same time', (log) async {
    final server = await _serve(log, (request) => request.cast<List<int>>().pipe(request.response));
    final request = await _client(log).postUrl(_uri(server));
    request.contentLength = 8 << 20;
    unawaited(request.addStream(pieces(128, 65536)).then((_) => request.close()));
    await (await request.done).forEach(log('client').data);
  });

  conforms('a client that reads slowly holds the server back', (log) async {
    const all = 48 << 20;
    var taken = 0;
    final server = await _serve(log, (request) async {
      await request.response.addStream(pieces(all >> 16, 65536, onPiece: (count) => taken = count << 16));
      await request.response.close();
    });
    final response = await _get(_client(log), server);
    var last = -1, still = 0, received = 0;
    final done = Completer<void>();
    final subscription = response.listen((data) => received += data.length, onDone: done.complete)..pause();
    while (still < 20) {
      await Future<void>.delayed(const Duration(milliseconds: 4));
      still = taken == last ? still + 1 : 0;
      last = taken;
    }
    log('server')('held back: ${taken < all}');
    subscription.resume();
    await done.future;
    log('client')('${received == all}');
  });

  conforms('chunks as they are written', (log) async {
    final next = StreamController<void>();
    final ticks = StreamIterator(next.stream);
    final server = await _serve(log, (request) async {
      request.response.bufferOutput = false;
      for (var i = 0; i < 5; i++) {
        request.response.write('chunk $i\n');
        await request.response.flush();
        await ticks.moveNext();
      }
      await request.response.close();
    });
    final response = await _get(_client(log), server);
    await for (final line in response.transform(utf8.decoder).transform(const LineSplitter())) {
      log('client')(line);
      next.add(null);
    }
  });

  conforms('a body of nothing', (log) async {
    final server = await _serve(log, (request) async {
      log('server')('${await request.isEmpty}');
      await request.response.close();
    });
    final request = await _client(log).postUrl(_uri(server));
    request.contentLength = 0;
    final response = await request.close();
    log('client')('${await response.isEmpty}');
  });

  conforms('a body that nobody reads', (log) async {
    final server = await _serve(log, (request) {
      request.response.write('not read');
      request.response.close();
    });
    final client = _client(log);
    for (var i = 0; i < 3; i++) {
      final request = await client.postUrl(_uri(server));
      request.add(Uint8List(1000));
      log('client')(await utf8.decodeStream(await request.close()));
    }
  });

  conforms('a length that is not kept', (log) async {
    final server = await _serve(log, (request) async {
      request.response.contentLength = 5;
      request.response.write('more than five');
      await log('server').outcome('close', request.response.close());
    });
    try {
      final response = await _get(_client(log), server);
      await response.drain<void>();
      log('client')('a response');
    } on HttpException {
      log('client')('HttpException');
    }
  });
}

void accidents() {
  conforms('a server that is gone in the middle of a body', (log) async {
    final server = await log.bind();
    server.listen((socket) async {
      log.own(socket);
      await socket.first;
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this');
      await socket.close();
      socket.destroy();
    });
    final client = _client(log);
    final response = await (await client.get('127.0.0.1', server.port, '/')).close();
    log('client').watch(response);
    await eventually(() => log('client').isEmpty == false && log('client').bytes == 9, 'data');
    await turns(20);
  });

  conforms('a server that closes without an answer', (log) async {
    final server = await log.bind();
    server.listen((socket) async {
      await socket.first;
      socket.destroy();
    });
    final client = _client(log);
    await client.get('127.0.0.1', server.port, '/').then((request) => request.close()).then(
          (_) => log('client')('an answer'),
          onError: (Object error) => log('client')('${error is HttpException ? 'HttpException' : describe(error)}'),
        );
  });

  conforms('a server that talks nonsense', (log) async {
    final server = await log.bind();
    server.listen((socket) {
      log.own(socket);
      socket.write('this is not HTTP\r\n\r\n');
      socket.close();
    });
    final client = _client(log);
    await client.get('127.0.0.1', server.port, '/').then((request) => request.close()).then(
          (_) => log('client')('an answer'),
          onError: (Object error) => log('client')('${error is HttpException ? 'HttpException' : describe(error)}'),
        );
  });

  conforms('a client that talks nonsense', (log) async {
    final server = await _serve(log, (request) => log('server')('a request'));
    final socket = log.own(await Socket.connect('127.0.0.1', server.port));
    socket.write('this is not HTTP\r\n\r\n');
    final text = await utf8.decodeStream(socket);
    log('client')(text.split('\r\n').first);
  });

  conforms('a client that aborts', (log) async {
    final asked = Completer<void>();
    final server = await _serve(log, (request) => asked.complete());
    final request = await _client(log).getUrl(_uri(server));
    final response = log('client').outcome('close', request.close());
    await asked.future;
    request.abort();
    await response;
  });

  conforms('a client that aborts its upload', (log) async {
    final begun = Completer<void>();
    final server = await _serve(log, (request) async {
      try {
        await request.forEach((_) {
          if (!begun.isCompleted) begun.complete();
        });
        log('server')('a whole body');
      } catch (error) {
        log('server')('${error is HttpException ? 'HttpException' : describe(error)}');
      }
    });
    final request = await _client(log).postUrl(_uri(server));
    request.bufferOutput = false;
    request.contentLength = 1000;
    request.add(Uint8List(100));
    unawaited(request.flush().then((_) {}, onError: (Object _) {}));
    await begun.future;
    request.abort(StateError('no more'));
    await eventually(() => !log('server').isEmpty, 'the server has noticed');
  });

  conforms('a client that is closed by force', (log) async {
    final asked = Completer<void>();
    final server = await _serve(log, (request) => asked.complete());
    final client = _client(log);
    final response = _get(client, server).then(
      (_) => log('client')('an answer'),
      onError: (Object error) => log('client')('an exception: ${error is IOException}'),
    );
    await asked.future;
    client.close(force: true);
    await response;
  });

  conforms('a client that goes while the server answers', (log) async {
    final server = await _serve(log, (request) async {
      await request.response.addStream(pieces(1024, 65536)).then(
            (_) => log('server')('completes'),
            onError: (Object _) => log('server')('fails'),
          );
      await request.response.close().then((_) {}, onError: (Object _) {});
      log('server')('behind');
    });
    final socket = log.own(await Socket.connect('127.0.0.1', server.port));
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await socket.first;
    socket.destroy();
    await eventually(() => server.connectionsInfo().total == 0, 'the connection is gone');
    await turns(20);
  });

  conforms('a client that goes half through its request', (log) async {
    final server = await _serve(log, (request) async {
      log('server')('a request');
      try {
        await request.drain<void>();
      } catch (error) {
        log('server')('${error is HttpException ? 'HttpException' : describe(error)}');
      }
    });
    final socket = log.own(await Socket.connect('127.0.0.1', server.port));
    socket.write('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf');
    await socket.flush();
    await eventually(() => !log('server').isEmpty, 'the request has come');
    socket.destroy();
    await eventually(() => server.connectionsInfo().total == 0, 'the connection is gone');
    await turns(20);
  });

  conforms('an error in a handler troubles no other request', (log) async {
    final server = await HttpServer.bind(InternetAddress.loopbackIPv4, 0);
    log.atEnd(() => server.close(force: true));
    runZonedGuarded(
      () => server.listen((request) {
        request.response.write('hello');
        request.response.close();
        throw StateError('in the handler');
      }),
      (error, _) => log('zone')(describe(error)),
    );
    final client = _client(log);
    for (var i = 0; i < 3; i++) {
      log('client')(await utf8.decodeStream(await _get(client, server)));
    }
  });
}

void detaching() {
  conforms('the socket of a response', (log) async {
    final server = await _serve(log, (request) async {
      request.response
        ..statusCode = HttpStatus.switchingProtocols
        ..headers.set('Connection', 'upgrade')
        ..headers.set('Upgrade', 'echo');
      final socket = log.own(await request.response.detachSocket());
      socket.listen(socket.add, onDone: socket.close);
    });
    final request = await _client(log).getUrl(_uri(server));
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
    final server = await _serve(log, (request) async {
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
    final server = await _serve(log, (request) async {
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
    final server = await _serve(log, (request) async {
      request.response.statusCode = HttpStatus.switchingProtocols;
      final socket = log.own(await request.response.detachSocket());
      unawaited(socket.cast<List<int>>().pipe(socket));
    });
    final request = await _client(log).getUrl(_uri(server));
    request.headers
      ..set('Connection', 'upgrade')
      ..set('Upgrade', 'echo');
    final socket = log.own(await (await request.close()).detachSocket());
    unawaited(socket.addStream(pieces(64, 65536)).then((_) => socket.close()));
    await log('client').watch(socket).done;
  });
}
