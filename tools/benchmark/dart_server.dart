/// The servers in Dart. Options as in arguments.c, and one more:
///
///     --through WHAT    dart:io (default); oche, which is the same in runWithOche; or Connection, of oche itself
///
/// One more mode, too: http. Output as in sockets.h.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'package:oche/io.dart' show runWithOche;
import 'package:oche/oche.dart';

Future<void> main(List<String> arguments) async {
  final options = {'--mode': 'echo', '--through': 'dart:io', '--write-size': '65536'};
  for (var i = 0; i + 1 < arguments.length; i += 2) {
    if (!options.containsKey(arguments[i])) {
      throw ArgumentError("there is no option '${arguments[i]}'");
    }
    options[arguments[i]] = arguments[i + 1];
  }
  final mode = options['--mode']!;
  final data = Uint8List(int.parse(options['--write-size']!));
  switch (options['--through']!) {
    case 'dart:io':
      await serveSockets(mode, data);
    case 'oche':
      await runWithOche(() => serveSockets(mode, data));
    case 'Connection':
      await serveConnections(mode, data);
    case final other:
      throw ArgumentError("there is no '$other' to go through");
  }
}

void announce(int port) => print(jsonEncode({'event': 'ready', 'port': port}));

/// The answer to a stream: its length in eight bytes, most significant first.
Uint8List countOf(int received) => Uint8List(8)..buffer.asByteData().setUint64(0, received);

Never refuse(String mode) => throw ArgumentError("there is no mode '$mode' here");

// ---- dart:io ----

Future<void> serveSockets(String mode, Uint8List data) async {
  final address = InternetAddress.loopbackIPv4;
  if (mode == 'http') {
    final server = await HttpServer.bind(address, 0);
    server.listen(answerHello);
    announce(server.port);
    return;
  }
  final server = await ServerSocket.bind(address, 0);
  server.listen((socket) {
    socket.done.ignore(); // the client has closed
    switch (mode) {
      case 'echo':
        echo(socket);
      case 'sink':
        sink(socket);
      case 'source':
        source(socket, data);
      default:
        refuse(mode);
    }
  });
  announce(server.port);
}

void echo(Socket socket) =>
    socket.listen((data) => socket.add(data), onDone: socket.destroy, onError: ignore);

void ignore(Object error) {}

void sink(Socket socket) {
  var received = 0;
  socket.listen(
    (data) => received += data.length,
    onDone: () {
      socket.add(countOf(received));
      unawaited(socket.close());
    },
    onError: ignore,
  );
}

Future<void> source(Socket socket, Uint8List data) async {
  var isOpen = true;
  socket.listen(null, onDone: () => isOpen = false, onError: ignore);
  try {
    while (isOpen) {
      socket.add(data);
      await socket.flush();
    }
  } on SocketException {
    // the client has closed
  }
  socket.destroy();
}

final hello = utf8.encode('Hello, world!\n');

void answerHello(HttpRequest request) {
  final response = request.response;
  response.headers.contentType = ContentType.text;
  response.contentLength = hello.length;
  response.add(hello);
  unawaited(response.close());
}

// ---- Connection ----

Future<void> serveConnections(String mode, Uint8List data) async {
  final listener = await Listener.bind(InternetAddress.loopbackIPv4, 0);
  listener.stream.listen((connection) async {
    try {
      await switch (mode) {
        'echo' => echoConnection(connection),
        'sink' => sinkConnection(connection),
        'source' => sourceConnection(connection, data),
        _ => refuse(mode),
      };
    } on OcheException {
      // the client has closed
    }
    await connection.close();
  });
  announce(listener.port);
}

Future<void> echoConnection(Connection connection) async {
  while (true) {
    final data = await connection.read();
    if (data == null) return;
    await connection.write(data);
  }
}

Future<void> sinkConnection(Connection connection) async {
  // Not an int: on ia32, Dart 3.7.3 lets a variable of an async function overflow at 31 bits.
  var received = 0.0;
  for (var data = await connection.read(); data != null; data = await connection.read()) {
    received += data.length;
  }
  await connection.write(countOf(received.toInt()));
}

Future<Never> sourceConnection(Connection connection, Uint8List data) async {
  while (true) {
    await connection.write(data);
  }
}
