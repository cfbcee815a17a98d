/// Servers and clients of HTTP, for scenarios.
library;

import 'dart:async';
import 'dart:io';

import 'conformance.dart';

extension HttpOfLog on Log {
  /// A server that nobody listens to yet, closed by force at the end.
  Future<HttpServer> bindHttp() async {
    final server = await HttpServer.bind(loopback, 0);
    atEnd(() => server.close(force: true));
    return server;
  }

  /// A server that hands each request to [answer].
  Future<HttpServer> serve(FutureOr<void> Function(HttpRequest request) answer) async => await bindHttp()
    ..listen(answer);

  /// A client, closed by force at the end.
  HttpClient httpClient() {
    final client = HttpClient();
    atEnd(() => client.close(force: true));
    return client;
  }
}

extension Asking on HttpClient {
  /// The response to a GET.
  Future<HttpClientResponse> ask(HttpServer server, [String path = '/']) async =>
      (await getUrl(uriOf(server, path))).close();
}

Uri uriOf(HttpServer server, [String path = '/']) => Uri.parse('http://127.0.0.1:${server.port}$path');

/// The whole of an answer.
void sayHello(HttpRequest request) {
  request.response.write('hello');
  request.response.close();
}
