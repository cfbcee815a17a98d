/// TLS in the daemon: package:oche/secure.dart, against itself and against dart:io.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io' as io;
import 'dart:io' hide SecureServerSocket, SecureSocket, SecurityContext;
import 'dart:typed_data';

import 'package:oche/io.dart';
import 'package:oche/oche.dart';
import 'package:oche/secure.dart';

import 'support/certificate.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

SecurityContext serving() => SecurityContext()
  ..useCertificateChainBytes(utf8.encode(certificate))
  ..usePrivateKeyBytes(utf8.encode(certificateKey));

SecurityContext trusting() => SecurityContext()..setTrustedCertificatesBytes(utf8.encode(certificate));

/// Sends everything back until the end, and ends too.
void echo(Socket socket) => socket.listen(socket.add, onDone: socket.close, onError: (Object _) {});

/// What comes back of [bytes], until the end.
Future<Uint8List> roundTrip(Socket socket, List<int> bytes) async {
  final all = BytesBuilder();
  final end = socket.forEach(all.add);
  socket.add(bytes);
  await socket.close();
  await end;
  return all.takeBytes();
}

/// The same, without an end: dart:io ends connections with TLS without saying so (close_notify), which is a failure here.
Future<Uint8List> roundTripWithoutEnd(Socket socket, List<int> bytes) async {
  final all = BytesBuilder();
  socket.add(bytes);
  await for (final piece in socket) {
    all.add(piece);
    if (all.length >= bytes.length) break;
  }
  socket.destroy();
  return all.takeBytes();
}

Future<void> main(List<String> arguments) {
  test('both ends in the daemon exchange bytes, and know each other', () async {
    final server = await SecureServerSocket.bind(loopback, 0, serving(), supportedProtocols: ['h2', 'http/1.1']);
    final served = Completer<OcheSecureSocket>();
    server.listen((socket) {
      served.complete(socket as OcheSecureSocket);
      echo(socket);
    });
    final socket = await SecureSocket.connect(
      'localhost',
      server.port,
      context: trusting(),
      supportedProtocols: ['http/1.1'],
    );
    expect(socket.selectedProtocol, 'http/1.1', 'the protocol');
    expect((await served.future).selectedProtocol, 'http/1.1', 'the protocol of the server');
    final shown = socket.peerCertificate!;
    expect(shown.subject, '/CN=localhost', 'the subject');
    expect(shown.issuer, '/CN=localhost', 'the issuer');
    expect(shown.startValidity.isBefore(shown.endValidity), true, 'valid from before until');
    expect(shown.sha1.length, 20, 'the length of the digest');
    expect(LineSplitter.split(shown.pem).toList(), LineSplitter.split(certificate).toList(), 'the certificate');
    expect((await served.future).peerCertificate, null, 'the certificate of a client that has shown none');
    expect(socket.tls!.version, 'TLSv1.3', 'the version');
    expect(socket.tls!.serverName, 'localhost', 'the name that was asked for');
    final bytes = pattern(300000);
    expect(checksum(await roundTrip(socket, bytes)), checksum(bytes), 'what came back');
    await server.close();
  });

  test('a server of dart:io serves a client of the daemon', () async {
    final server = await io.SecureServerSocket.bind(loopback, 0, servingContext());
    server.listen(echo);
    final socket = await SecureSocket.connect('localhost', server.port, context: trusting());
    final bytes = pattern(100000);
    expect(checksum(await roundTripWithoutEnd(socket, bytes)), checksum(bytes), 'what came back');
    await server.close();
  });

  test('a client of dart:io is served by a server of the daemon', () async {
    final server = await SecureServerSocket.bind('localhost', 0, serving());
    server.listen(echo);
    final socket = await io.SecureSocket.connect('localhost', server.port, context: trustingContext());
    expect(socket.peerCertificate!.subject, '/CN=localhost', 'the subject');
    final bytes = pattern(100000);
    expect(checksum(await roundTripWithoutEnd(socket, bytes)), checksum(bytes), 'what came back');
    await server.close();
  });

  test('a peer that ends the connection without saying so is a failure', () async {
    final server = await io.SecureServerSocket.bind(loopback, 0, servingContext());
    server.listen((socket) => socket.destroy());
    final socket = await SecureSocket.connect('localhost', server.port, context: trusting());
    final failure = await failureOf<ReadFailedException>(() => socket.drain<void>());
    expect(failure.osError!.errorCode, 71, 'the error'); // EPROTO
    await server.close();
  });

  test('a certificate is described as dart:io describes it', () async {
    final server = await SecureServerSocket.bind('localhost', 0, serving());
    server.listen((socket) => socket.drain<void>().ignore());
    final theirs = await io.SecureSocket.connect('localhost', server.port, context: trustingContext());
    final ours = await SecureSocket.connect('localhost', server.port, context: trusting());
    final a = theirs.peerCertificate!, b = ours.peerCertificate!;
    expect(b.subject, a.subject, 'the subject');
    expect(b.issuer, a.issuer, 'the issuer');
    expect(b.sha1, a.sha1, 'the digest');
    expect(b.der, a.der, 'the DER');
    expect(b.startValidity, a.startValidity, 'the beginning');
    expect(b.endValidity, a.endValidity, 'the end');
    expect(b.pem, a.pem, 'the PEM');
    theirs.destroy();
    ours.destroy();
    await server.close();
  });

  test('a certificate that does not verify fails the handshake, unless the callback says that it is good', () async {
    final server = await SecureServerSocket.bind(loopback, 0, serving());
    server.listen(echo);
    final failure = await failureOf<HandshakeException>(() => SecureSocket.connect('localhost', server.port));
    expect(failure is TlsFailedException, true, 'the failure is $failure');
    expectTrue(failure.message.contains('self-signed certificate'), 'the failure says why: $failure');

    final shown = <String>[];
    await failureOf<HandshakeException>(
      () => SecureSocket.connect(
        'localhost',
        server.port,
        onBadCertificate: (certificate) {
          shown.add(certificate.subject);
          return false;
        },
      ),
    );
    expect(shown, ['/CN=localhost'], 'what the callback was asked');

    final socket = await SecureSocket.connect('localhost', server.port, onBadCertificate: (_) => true);
    expect(socket.tls!.objection, 'self-signed certificate', 'what was overlooked');
    expect(await roundTrip(socket, [1, 8, 0]), [1, 8, 0], 'what came back');

    final other = await failureOf<TlsFailedException>(
      () => SecureSocket.connect('localhost', server.port, context: trusting(), serverName: 'other.test'),
    );
    expect(other.message, 'hostname mismatch', 'what is wrong');
    await server.close();
  });

  test('what a callback throws is the failure, and the connection is closed', () async {
    final server = await SecureServerSocket.bind(loopback, 0, serving());
    server.listen(echo);
    await failureOf<StateError>(
      () => SecureSocket.connect('localhost', server.port, onBadCertificate: (_) => throw StateError('undecided')),
    );
    await server.close();
  });

  test('an open connection goes on with TLS in either role', () async {
    final listener = await Listener.bind(loopback, 0);
    final client = await Connection.connect(loopback, listener.port);
    final server = await listener.accept();
    await server.write(utf8.encode('begin'));
    expect(utf8.decode((await client.read())!), 'begin', 'what came before');
    final secured = client.secure('localhost', context: trusting());
    await server.secureServer(serving());
    await secured;
    await client.write(utf8.encode('hello'));
    expect(utf8.decode((await server.read())!), 'hello', 'what came');
    expect(client.tls!.version, 'TLSv1.3', 'the version');
    expect(server.tls!.serverName, 'localhost', 'the name that was asked for');
    await client.close();
    expect(await server.read(), null, 'the end');
    await server.close();
    await listener.close();
  });

  test('sockets are upgraded as dart:io upgrades its own, while they are listened to', () async {
    await runWithOche(() async {
      final server = await ServerSocket.bind(loopback, 0);
      final serve = server.first.then((socket) async {
        final begin = Completer<void>();
        final subscription = socket.listen((_) => begin.complete());
        await begin.future;
        subscription.pause();
        socket.add(utf8.encode('S'));
        echo(await SecureSocket.secureServer(socket, serving()));
      });
      final socket = await Socket.connect(loopback, server.port);
      final answer = Completer<void>();
      final subscription = socket.listen((_) => answer.complete());
      socket.add(utf8.encode('TLS?'));
      await answer.future;
      subscription.pause();
      final secure = await SecureSocket.secure(socket, host: 'localhost', context: trusting());
      socket.destroy(); // which is of no use any more, and has no connection
      expect(await roundTrip(secure, [26]), [26], 'what came back');
      await serve;
      await server.close();
    });
  });

  test('a socket of dart:io cannot be upgraded, and the error says what to do', () async {
    final server = await ServerSocket.bind(loopback, 0);
    final socket = await Socket.connect(loopback, server.port);
    final error = await failureOf<ArgumentError>(() => SecureSocket.secure(socket));
    expectTrue('$error'.contains('OcheSocket.connect'), 'the error: $error');
    socket.destroy();
    await server.close();
  });

  test('HttpClient has TLS in the daemon, and asks about certificates', () async {
    final server = HttpServer.listenOn(await SecureServerSocket.bind('localhost', 0, serving()));
    server.listen((request) {
      request.response.write('${request.requestedUri.scheme} ${request.uri.path}');
      unawaited(request.response.close());
    });
    await runWithOche(() async {
      final asked = <String>[];
      final client = HttpClient()
        ..badCertificateCallback = (certificate, host, port) {
          asked.add('${certificate.subject} $host ${port == server.port}');
          return true;
        };
      final request = await client.getUrl(Uri.parse('https://localhost:${server.port}/path'));
      final response = await request.close();
      expect(response.certificate is PeerCertificate, true, 'the certificate is one of the daemon\'s');
      expect(response.certificate!.subject, '/CN=localhost', 'the certificate');
      expect(await utf8.decodeStream(response), 'https /path', 'what came');
      expect(asked, ['/CN=localhost localhost true'], 'what the callback was asked');
      client.close(force: true);

      final strict = HttpClient();
      await failureOf<HandshakeException>(() => strict.getUrl(Uri.parse('https://localhost:${server.port}/')));
      strict.close(force: true);
    });
    await server.close();
  });

  test('wss goes through the daemon', () async {
    final server = HttpServer.listenOn(await SecureServerSocket.bind('localhost', 0, serving()));
    server.transform(WebSocketTransformer()).listen((socket) => socket.listen(socket.add));
    await runWithOche(() async {
      final client = HttpClient()..badCertificateCallback = (_, __, ___) => true;
      final socket = await WebSocket.connect('wss://localhost:${server.port}/', customClient: client);
      socket.add('180');
      expect(await socket.first, '180', 'what came back');
      await socket.close();
      client.close(force: true);
    });
    await server.close();
  });

  test('HttpClient with a context of dart:io, or a destination that stays with it, has TLS of dart:io', () async {
    final server = await HttpServer.bindSecure('localhost', 0, servingContext());
    server.listen((request) => request.response.close());
    Future<void> expectOfDartIo(HttpClient client) async {
      final request = await client.getUrl(Uri.parse('https://localhost:${server.port}/'));
      final response = await request.close();
      expect(response.certificate is PeerCertificate, false, 'the certificate is one of the daemon\'s');
      await response.drain<void>();
      client.close(force: true);
    }

    await runWithOche(() => expectOfDartIo(HttpClient(context: trustingContext())));
    await runWithOche(
      () => expectOfDartIo(HttpClient()..badCertificateCallback = (_, __, ___) => true),
      staysWithDartIo: (host, port) => port == server.port,
    );
    await server.close();
  });

  test('a server that requires certificates accepts who shows one', () async {
    final context = serving()..setTrustedCertificatesBytes(utf8.encode(certificate));
    final server = await SecureServerSocket.bind(loopback, 0, context, requireClientCertificate: true);
    final shown = Completer<String>();
    server.listen((socket) {
      shown.complete((socket as SecureSocket).peerCertificate!.subject);
      echo(socket);
    });
    final client = trusting()
      ..useCertificateChainBytes(utf8.encode(certificate))
      ..usePrivateKeyBytes(utf8.encode(certificateKey));
    final socket = await SecureSocket.connect('localhost', server.port, context: client);
    expect(await shown.future, '/CN=localhost', 'what the client has shown');
    expect(await roundTrip(socket, [1]), [1], 'what came back');

    // In TLS 1.3 a client learns later that it is not accepted.
    final refused = await SecureSocket.connect('localhost', server.port, context: trusting());
    final failure = await failureOf<ReadFailedException>(() => refused.drain<void>());
    expect(failure.osError!.errorCode, 71, 'the error'); // EPROTO
    await server.close();
  });

  test('a certificate that is applied is shown from then on', () async {
    final context = serving();
    final server = await SecureServerSocket.bind(loopback, 0, context);
    server.listen(echo);
    final before = await SecureSocket.connect('localhost', server.port, context: trusting());
    context
      ..useCertificateChainBytes(utf8.encode(otherCertificate))
      ..usePrivateKeyBytes(utf8.encode(otherKey));
    await context.apply();
    final after = await SecureSocket.connect('localhost', server.port, onBadCertificate: (_) => true);
    expect(after.peerCertificate!.subject, '/CN=other.test', 'what is shown now');
    expect(await roundTrip(before, [1]), [1], 'what came back on the connection that was there');
    after.destroy();

    context.usePrivateKeyBytes(utf8.encode(certificateKey));
    final failure = await failureOf<InvalidArgumentException>(context.apply);
    expect(failure.message, 'the key does not belong to the certificate', 'what is wrong');
    await server.close();
  });

  test('what is wrong with a context is said when it is used', () async {
    final context = SecurityContext()
      ..useCertificateChainBytes(utf8.encode('nonsense'))
      ..usePrivateKeyBytes(utf8.encode(certificateKey));
    final failure = await failureOf<InvalidArgumentException>(() => SecureServerSocket.bind(loopback, 0, context));
    expect(failure.message, 'the chain does not begin with a certificate in PEM', 'what is wrong');
  });

  test('a connect that takes too long fails, also in the handshake', () async {
    final server = await ServerSocket.bind(loopback, 0); // which never says anything
    await failureOf<TimedOutException>(
      () => SecureSocket.connect('localhost', server.port, timeout: const Duration(milliseconds: 300)),
    );
    final task = await SecureSocket.startConnect('localhost', server.port);
    final (accepted) = await server.first;
    task.cancel();
    await failureOf<ClosedException>(() => task.socket);
    accepted.destroy();
    await server.close();
  });

  return runTests(arguments);
}
