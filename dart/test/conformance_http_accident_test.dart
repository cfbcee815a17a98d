/// HTTP with an end that is gone too early, or talks nonsense.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';
import 'support/http.dart';

Future<void> main(List<String> arguments) {
  accidents();
  return runTests(arguments);
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
    final client = log.httpClient();
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
    final client = log.httpClient();
    await _noteAnswer(log('client'), client.get('127.0.0.1', server.port, '/').then((request) => request.close()));
  });

  conforms('a server that talks nonsense', (log) async {
    final server = await log.bind();
    server.listen((socket) {
      log.own(socket);
      socket.write('this is not HTTP\r\n\r\n');
      socket.close();
    });
    final client = log.httpClient();
    await _noteAnswer(log('client'), client.get('127.0.0.1', server.port, '/').then((request) => request.close()));
  });

  conforms('a client that talks nonsense', (log) async {
    final server = await log.serve((request) => log('server')('a request'));
    final socket = log.own(await Socket.connect('127.0.0.1', server.port));
    socket.write('this is not HTTP\r\n\r\n');
    final text = await utf8.decodeStream(socket);
    log('client')(text.split('\r\n').first);
  });

  conforms('a client that aborts', (log) async {
    final asked = Completer<void>();
    final server = await log.serve((request) => asked.complete());
    final request = await log.httpClient().getUrl(uriOf(server));
    final response = log('client').outcome('close', request.close());
    await asked.future;
    request.abort();
    await response;
  });

  conforms('a client that aborts its upload', (log) async {
    final begun = Completer<void>();
    final server = await log.serve((request) async {
      try {
        await request.forEach((_) {
          if (!begun.isCompleted) begun.complete();
        });
        log('server')('a whole body');
      } catch (error) {
        log('server')(_kind(error));
      }
    });
    final request = await log.httpClient().postUrl(uriOf(server));
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
    final server = await log.serve((request) => asked.complete());
    final client = log.httpClient();
    final response = client.ask(server).then(
          (_) => log('client')('an answer'),
          onError: (Object error) => log('client')('an exception: ${error is IOException}'),
        );
    await asked.future;
    client.close(force: true);
    await response;
  });

  conforms('a client that goes while the server answers', (log) async {
    final server = await log.serve((request) async {
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
    final server = await log.serve((request) async {
      log('server')('a request');
      try {
        await request.drain<void>();
      } catch (error) {
        log('server')(_kind(error));
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
    final server = await log.bindHttp();
    runZonedGuarded(
      () => server.listen((request) {
        request.response.write('hello');
        request.response.close();
        throw StateError('in the handler');
      }),
      (error, _) => log('zone')(describe(error)),
    );
    final client = log.httpClient();
    for (var i = 0; i < 3; i++) {
      log('client')(await utf8.decodeStream(await client.ask(server)));
    }
  });
}

/// Notes an answer, or what has gone wrong.
Future<void> _noteAnswer(Witness witness, Future<HttpClientResponse> response) => response.then(
      (_) => witness('an answer'),
      onError: (Object error) => witness(_kind(error)),
    );

/// The message of an [HttpException] does not matter.
String _kind(Object error) => error is HttpException ? 'HttpException' : describe(error);
