/// dart:io's WebSockets.
library;

import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';
import 'support/http.dart';

Future<void> main(List<String> arguments) {
  messages();
  ends();
  return runTests(arguments);
}

/// A server that hands each WebSocket to [serve], and the address of it.
Future<String> _serve(Log log, void Function(WebSocket socket) serve) async {
  final server = await log.bindHttp();
  server.transform(WebSocketTransformer()).listen(serve);
  return 'ws://127.0.0.1:${server.port}/';
}

void _echo(WebSocket socket) => socket.listen(socket.add);

/// A client that listens all the time, for that is how it learns that the server has closed.
final class _Client {
  _Client._(this.socket) {
    socket.listen((message) {
      messages.add(message);
      _more?.complete();
      _more = null;
    }, onDone: _done.complete);
  }

  static Future<_Client> connect(Log log, String address) async {
    final socket = await WebSocket.connect(address);
    log.atEnd(socket.close);
    return _Client._(socket);
  }

  final WebSocket socket;
  final messages = <Object?>[];
  Completer<void>? _more;
  final _done = Completer<void>();

  Future<void> get done => _done.future;

  /// Sends a message; the next one that comes.
  Future<Object?> ask(Object message) async {
    final more = _more = Completer<void>();
    socket.add(message);
    await more.future;
    return messages.last;
  }
}

void messages() {
  conforms('texts come back', (log) async {
    final client = await _Client.connect(log, await _serve(log, _echo));
    log('client')('state ${client.socket.readyState}, protocol ${client.socket.protocol}');
    for (final text in ['hello', '', 'äöü€😀', 'x' * 100000]) {
      log('client')('${await client.ask(text) == text}');
    }
    await log('client').outcome('close', client.socket.close());
    await client.done;
    log('client')('code ${client.socket.closeCode}');
  });

  conforms('bytes come back', (log) async {
    final client = await _Client.connect(log, await _serve(log, _echo));
    for (final length in [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
      log('client')('$length: ${describe(await client.ask(pattern(length)))}');
    }
  });

  conforms('the server speaks first, a thousand times', (log) async {
    final address = await _serve(log, (socket) {
      socket.listen(null);
      for (var i = 0; i < 1000; i++) {
        socket.add('$i');
      }
      socket.close(WebSocketStatus.normalClosure, 'that is all');
    });
    final client = await _Client.connect(log, address);
    await client.done;
    log('client')('${client.messages.length} ${client.messages.last}');
    log('client')('${client.socket.closeCode} ${client.socket.closeReason}');
  });

  conforms('4 MiB', (log) async {
    final address = await _serve(log, (socket) async {
      socket.listen(null);
      await socket.addStream(Stream.fromIterable([for (var i = 0; i < 64; i++) Uint8List(65536)]));
      await socket.close();
    });
    final client = await _Client.connect(log, address);
    await client.done;
    log('client')('${client.messages.length} ${client.socket.closeCode}');
  });

  conforms('20 at the same time', (log) async {
    final address = await _serve(log, _echo);
    final right = await Future.wait([
      for (var i = 0; i < 20; i++)
        () async {
          final client = await _Client.connect(log, address);
          return await client.ask('number $i') == 'number $i';
        }(),
    ]);
    log('client')('${right.where((right) => right).length}');
  });

  conforms('compression', (log) async {
    final server = await log.serve((request) async => _echo(await WebSocketTransformer.upgrade(request)));
    final client = await _Client.connect(log, 'ws://127.0.0.1:${server.port}');
    log('client')('${client.socket.extensions.contains('permessage-deflate')}');
    log('client')('${(await client.ask('a' * 100000) as String).length}');
  });

  conforms('protocols', (log) async {
    final server = await log.serve((request) async {
      final socket = await WebSocketTransformer.upgrade(
        request,
        protocolSelector: (protocols) => protocols.last,
      );
      socket.listen(null);
      socket.add('${socket.protocol}');
      await socket.close();
    });
    final socket = await WebSocket.connect('ws://127.0.0.1:${server.port}', protocols: ['one', 'two']);
    log('client')('${socket.protocol} ${await socket.toList()}');
  });
}

void ends() {
  conforms('the client closes with a reason', (log) async {
    final closed = Completer<void>();
    final address = await _serve(log, (socket) {
      socket.listen(null, onDone: () {
        log('server')('${socket.closeCode} ${socket.closeReason}');
        closed.complete();
      });
    });
    final client = await _Client.connect(log, address);
    await log('close').outcome('close', client.socket.close(4000, 'a reason'));
    await client.done;
    log('client')('done ${client.socket.closeCode} ${client.socket.closeReason}');
    await closed.future;
  });

  conforms('the server closes', (log) async {
    final address = await _serve(log, (socket) {
      socket.listen(null);
      socket.close(4001, 'no');
    });
    final client = await _Client.connect(log, address);
    await client.done;
    log('client')('${client.messages} ${client.socket.closeCode} ${client.socket.closeReason}');
  });

  conforms('a client that is reset', (log) async {
    final closed = Completer<void>();
    final address = await _serve(log, (socket) {
      socket.listen(
        (data) => log('server')('$data'),
        onError: (Object error) => log('server')('an error'),
        onDone: () {
          log('server')('done ${socket.closeCode}');
          closed.complete();
        },
      );
    });
    final uri = Uri.parse(address);
    final raw = await RawSocket.connect('127.0.0.1', uri.port);
    final peer = RawPeer.wrap(log, raw, name: 'nobody')..isQuiet = true;
    await peer.write(
      'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
              'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
          .codeUnits,
    );
    await peer.arrived(100);
    await peer.reset();
    await closed.future;
  });

  conforms('what is no WebSocket is refused', (log) async {
    final server = await log.serve((request) {
      request.response.statusCode = 400;
      request.response.close();
    });
    await WebSocket.connect('ws://127.0.0.1:${server.port}').then(
      (_) => log('client')('connects'),
      onError: (Object error) => log('client')('${error is WebSocketException}'),
    );
  });

  conforms('nobody there', (log) async {
    final (address, port) = await deadEnd();
    await WebSocket.connect('ws://${address.address}:$port').then(
      (_) => log('client')('connects'),
      onError: (Object error) => log('client')('${error is SocketException}'),
    );
  });
}
