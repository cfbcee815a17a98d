/// netcat at the other end.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'support/peer_program.dart';

Future<void> main(List<String> arguments) {
  netcat();
  return runTests(arguments);
}

void netcat() {
  testAgainst('nc', 'a client that ends its side: the answer comes behind', (nc) async {
    final server = await ServerSocket.bind(loopback, 0);
    final serving = server.first.then((socket) async {
      final question = await utf8.decodeStream(socket);
      socket.write('you said: $question');
      await socket.close();
    });
    final program = await PeerProgram.start(nc, ['-N', '127.0.0.1', '${server.port}']);
    program.process.stdin.write('hello');
    await program.process.stdin.close();
    expect(await program.text(), 'you said: hello');
    await serving;
  });

  testAgainst('nc', 'a client that does not end its side, until the server does', (nc) async {
    final server = await ServerSocket.bind(loopback, 0);
    final serving = server.first.then((socket) async {
      final data = StreamIterator(socket);
      await data.moveNext();
      expect(utf8.decode(data.current), 'hello', 'the question');
      socket.write('goodbye');
      await socket.close();
      // Nothing more comes, and the end may be a reset.
      await data.cancel();
      socket.destroy();
    });
    final program = await PeerProgram.start(nc, ['127.0.0.1', '${server.port}']);
    program.process.stdin.write('hello');
    await program.process.stdin.flush();
    await serving;
    await program.prints('goodbye');
    await program.process.stdin.close();
    await program.output();
  });

  testAgainst('nc', 'a client sends 16 MiB', (nc) async {
    final server = await ServerSocket.bind(loopback, 0);
    final body = pattern(16 << 20);
    final serving = server.first.then((socket) async {
      final bytes = await collect(socket);
      await socket.close();
      return bytes;
    });
    final program = await PeerProgram.start(nc, ['-N', '127.0.0.1', '${server.port}']);
    program.process.stdin.add(body);
    await program.process.stdin.close();
    expect(summary(await serving), summary(body));
    await program.output();
  });

  testAgainst('nc', 'a server that ends its side', (nc) async {
    final (address, port) = await deadEnd();
    final program = await PeerProgram.start(nc, ['-N', '-l', address.address, '$port']);
    program.process.stdin.write('from netcat');
    await program.process.stdin.close();
    final socket = await _connect(address, port);
    final text = utf8.decodeStream(socket);
    socket.write('from oche');
    expect(await text, 'from netcat');
    await socket.close();
    expect(await program.text(), 'from oche');
  });

  testAgainst('nc', 'a server that gets 16 MiB, and our end', (nc) async {
    final (address, port) = await deadEnd();
    final program = await PeerProgram.start(nc, ['-N', '-l', address.address, '$port']);
    final socket = await _connect(address, port);
    final body = pattern(16 << 20);
    await socket.addStream(Stream.value(body));
    await socket.close();
    await program.process.stdin.close();
    await socket.drain<void>();
    expect(summary(await program.output()), summary(body));
  });

  testAgainst('nc', 'a peer that is killed', (nc) async {
    final server = await ServerSocket.bind(loopback, 0);
    final ended = Completer<void>();
    final begun = Completer<void>();
    unawaited(
      server.first.then((socket) {
        socket.listen((_) => begun.complete(), onError: (Object _) {}, onDone: () {
          ended.complete();
          socket.destroy();
        });
      }),
    );
    final program = await PeerProgram.start(nc, ['127.0.0.1', '${server.port}']);
    program.process.stdin.write('x');
    await program.process.stdin.flush();
    await begun.future;
    await program.kill();
    await ended.future;
  });
}

/// Connects as soon as somebody listens there.
Future<Socket> _connect(InternetAddress address, int port) async {
  late Socket socket;
  await eventually(() async {
    try {
      socket = await Socket.connect(address, port);
      return true;
    } on SocketException {
      return false;
    }
  }, 'somebody listens');
  return socket;
}
