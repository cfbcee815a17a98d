/// What the overrides do beside sockets: proxies, destinations that stay with dart:io, other isolates.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:isolate';

import 'package:oche/io.dart';

import 'support/certificate.dart';
import 'support/system.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) {
  test('https through a proxy works, and asks about the certificate', () async {
    final proxy = await Proxy.start(), server = await serveSecurely();
    final asked = <(Object?, int)>[], certificates = <String>[];
    await runWithOche(() async {
      final client = HttpClient()
        ..findProxy = proxy.forAll
        ..badCertificateCallback = (certificate, host, port) {
          certificates.add('${certificate.subject} $host ${port == server.port}');
          return true;
        };
      expect(await get(client, server.url('/')), 'GET / hello', 'what came');
      client.close();
    }, staysWithDartIo: spy(asked));
    expect(proxy.requests, ['CONNECT localhost:${server.port} HTTP/1.1'], 'what the proxy was asked');
    expect(certificates, ['/CN=localhost localhost true'], 'what the callback was asked');
    expect(asked, <(Object?, int)>[], 'which connections could be the daemon\'s');
    await server.close();
    await proxy.close();
  });

  test('a redirection from http to https through a proxy works', () async {
    final proxy = await Proxy.start(), server = await serveSecurely();
    final first = await HttpServer.bind(loopback, 0);
    first.listen((request) => request.response.redirect(server.url('/new')));
    await runWithOche(() async {
      final client = HttpClient(context: trustingContext())
        ..findProxy = (url) => url.isScheme('https') ? proxy.forAll(url) : 'DIRECT';
      expect(await get(client, Uri.parse('http://127.0.0.1:${first.port}/old')), 'GET /new hello', 'what came');
      client.close();
    });
    expect(proxy.requests, ['CONNECT localhost:${server.port} HTTP/1.1'], 'what the proxy was asked');
    await first.close();
    await server.close();
    await proxy.close();
  });

  test('a proxy that the environment names is used for https', () async {
    final proxy = await Proxy.start(), server = await serveSecurely();
    await HttpOverrides.runWithHttpOverrides(
      () => runWithOche(() async {
        final client = HttpClient(context: trustingContext());
        expect(await get(client, server.url('/')), 'GET / hello', 'what came');
        client.close();
      }),
      EnvironmentOfTest({'https_proxy': '127.0.0.1:${proxy.port}'}),
    );
    expect(proxy.requests, ['CONNECT localhost:${server.port} HTTP/1.1'], 'what the proxy was asked');
    await server.close();
    await proxy.close();
  });

  test('https without a proxy, and http through one, are as they were', () async {
    final proxy = await Proxy.start(), server = await serveSecurely();
    final asked = <(Object?, int)>[];
    await runWithOche(() async {
      final client = HttpClient(context: trustingContext())
        ..findProxy = (url) => url.isScheme('https') ? 'DIRECT' : proxy.forAll(url);
      expect(await get(client, server.url('/')), 'GET / hello', 'what came');
      expect(await get(client, Uri.parse('http://nowhere.invalid/')), 'from the proxy', 'what came');
      client.close();
    }, staysWithDartIo: spy(asked));
    expect(proxy.requests, ['GET http://nowhere.invalid/ HTTP/1.1'], 'what the proxy was asked');
    expect(asked, <(Object?, int)>[('127.0.0.1', proxy.port)], 'which connections could be the daemon\'s');
    await server.close();
    await proxy.close();
  });

  test('other overrides for HTTP stay in force, whenever they were made', () async {
    final named = NamedClients('before');
    HttpOverrides.runWithHttpOverrides(
      () => runWithOche(() => expect(HttpClient().userAgent, 'before', 'the name')),
      named,
    );
    runWithOche(() {
      HttpOverrides.global = NamedClients('since');
      expect(HttpClient().userAgent, 'since', 'the name');
      runWithOche(() => expect(HttpClient().userAgent, 'since', 'the name, one deeper'));
    });
    HttpOverrides.global = OcheHttpOverrides(HttpOverrides.current);
    expect(HttpClient().userAgent, 'since', 'the name, where all are global');
    runWithOche(() => expect(HttpClient().userAgent, 'since', 'the name, below that'));
    HttpOverrides.global = null;
  });

  test('destinations that stay with dart:io have its sockets', () async {
    final server = await ServerSocket.bind(loopback, 0);
    server.listen((socket) => socket.destroy());
    final asked = <(Object?, int)>[];
    bool stays(Object? host, int port) {
      asked.add((host, port));
      return host == 'localhost';
    }

    await runWithOche(() async {
      expect((await connect('localhost', server.port)) is OcheSocket, false, 'whether it is oche\'s');
      expect((await connect(loopback, server.port)) is OcheSocket, true, 'whether it is oche\'s');
      final task = await Socket.startConnect('localhost', server.port);
      expect((await task.socket) is OcheSocket, false, 'whether it is oche\'s');
      final bound = await ServerSocket.bind('localhost', 0);
      expect(bound is OcheServerSocket, true, 'whether the server is oche\'s');
      await bound.close();
      (await task.socket).destroy();
    }, staysWithDartIo: stays);
    expect(
      asked,
      <(Object?, int)>[('localhost', server.port), (loopback, server.port), ('localhost', server.port)],
      'what was asked',
    );
    await server.close();
  });

  test('OcheIsolate.run has sockets of the daemon in the new isolate, and Isolate.run has not', () async {
    final server = await ServerSocket.bind(loopback, 0);
    server.listen((socket) => socket.destroy());
    final port = server.port;
    await runWithOche(() async {
      expect(await Isolate.run(() => kindOfSocket(port)), (false, false), 'what is oche\'s');
      expect(await OcheIsolate.run(() => kindOfSocket(port)), (true, true), 'what is oche\'s');
    });
    expect(await OcheIsolate.run(() => kindOfSocket(port)), (true, true), 'what is oche\'s');
    await runWithOche(
      () async => expect(await OcheIsolate.run(() => kindOfSocket(port)), (false, true), 'what is oche\'s'),
      staysWithDartIo: (_, __) => true,
    );
    await server.close();
  });

  test('OcheIsolate.spawn does as Isolate.spawn does, with sockets of the daemon', () async {
    final server = await ServerSocket.bind(loopback, 0);
    server.listen((socket) => socket.destroy());
    final messages = ReceivePort(), exit = ReceivePort(), errors = ReceivePort();
    final isolate = await OcheIsolate.spawn(
      (sent) async {
        final (answer, port) = sent;
        answer.send((Isolate.current.debugName, await kindOfSocket(port)));
        throw Failure('on purpose');
      },
      (messages.sendPort, server.port),
      paused: true,
      onExit: exit.sendPort,
      onError: errors.sendPort,
      debugName: 'thrower',
    );
    isolate.resume(isolate.pauseCapability!);
    expect(await messages.first, ('thrower', (true, true)), 'what it tells');
    expect(((await errors.first) as List<Object?>).first, 'on purpose', 'its error');
    await exit.first;
    await server.close();
  });

  return runTests(arguments);
}

/// As [Socket.connect], for a moment.
Future<Socket> connect(Object? host, int port) async => (await Socket.connect(host, port))..destroy();

/// Whether a socket of this isolate is oche's, and whether a server is.
Future<(bool, bool)> kindOfSocket(int port) async {
  final socket = await connect('127.0.0.1', port);
  final server = await ServerSocket.bind('127.0.0.1', 0);
  await server.close();
  return (socket is OcheSocket, server is OcheServerSocket);
}

bool Function(Object? host, int port) spy(List<(Object?, int)> asked) => (host, port) {
      asked.add((host, port));
      return false;
    };

Future<String> get(HttpClient client, Uri url) async => utf8.decodeStream(await (await client.getUrl(url)).close());

/// Clients with a name.
final class NamedClients extends HttpOverrides {
  NamedClients(this._name);

  final String _name;

  @override
  HttpClient createHttpClient(SecurityContext? context) => super.createHttpClient(context)..userAgent = _name;
}

/// An environment that a test makes up.
final class EnvironmentOfTest extends HttpOverrides {
  EnvironmentOfTest(this._environment);

  final Map<String, String> _environment;

  @override
  String findProxyFromEnvironment(Uri url, Map<String, String>? environment) =>
      super.findProxyFromEnvironment(url, _environment);
}

/// A server of https for localhost, of dart:io.
final class SecureServer {
  SecureServer._(this._server);

  final HttpServer _server;

  int get port => _server.port;

  Uri url(String path) => Uri.parse('https://localhost:$port$path');

  Future<void> close() => _server.close(force: true);
}

Future<SecureServer> serveSecurely() async {
  final server = await HttpServer.bindSecure(loopback, 0, servingContext());
  server.listen((request) {
    request.response.write('${request.method} ${request.uri.path} hello');
    request.response.close();
  });
  return SecureServer._(server);
}

/// A proxy that answers requests for http by itself.
final class Proxy {
  Proxy._(this._server);

  final ServerSocket _server;

  /// The first lines of what it was asked.
  final requests = <String>[];

  int get port => _server.port;

  String forAll(Uri url) => 'PROXY 127.0.0.1:$port';

  static Future<Proxy> start() async {
    final proxy = Proxy._(await ServerSocket.bind(loopback, 0));
    proxy._server.listen(proxy._serve);
    return proxy;
  }

  void _serve(Socket client) {
    Socket? target;
    late final StreamSubscription<List<int>> subscription;
    subscription = client.listen((data) async {
      if (target != null) return target!.add(data);
      final line = utf8.decode(data).split('\r\n').first;
      requests.add(line);
      if (!line.startsWith('CONNECT')) {
        client.write('HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nfrom the proxy');
        return;
      }
      subscription.pause();
      final server = target = await Socket.connect(loopback, int.parse(line.split(RegExp('[: ]'))[2]));
      server.listen(client.add, onDone: client.destroy, onError: (Object _) {});
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      subscription.resume();
    }, onDone: () {
      target?.destroy();
      client.destroy();
    }, onError: (Object _) {});
  }

  Future<void> close() => _server.close();
}
