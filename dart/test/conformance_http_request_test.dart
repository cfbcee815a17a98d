/// Requests of HTTP and their answers, one at a time.
library;

import 'dart:convert';
import 'dart:io';

import 'support/conformance.dart';
import 'support/http.dart';

Future<void> main(List<String> arguments) {
  requests();
  return runTests(arguments);
}

void requests() {
  conforms('GET', (log) async {
    final server = await log.serve((request) {
      log('server')('${request.method} ${request.uri} ${request.protocolVersion}');
      log('server')('persistent: ${request.persistentConnection}, length: ${request.contentLength}');
      request.response
        ..headers.contentType = ContentType.text
        ..write('hello')
        ..close();
    });
    final response = await log.httpClient().ask(server, '/path?query=1');
    log('client')('${response.statusCode} ${response.reasonPhrase} ${response.contentLength}');
    log('client')('${response.headers.contentType}');
    log('client')(await utf8.decodeStream(response));
  });

  conforms('who is at the other end', (log) async {
    final server = await log.serve((request) {
      final info = request.connectionInfo!;
      log('server')('${describe(info.remoteAddress)}, ${info.remotePort > 0}, ${info.localPort == request.uri.port}');
      request.response.write('${info.remotePort}');
      request.response.close();
    });
    final response = await log.httpClient().ask(server);
    final info = response.connectionInfo!;
    log('client')('${describe(info.remoteAddress)}, ${info.remotePort == server.port}');
    log('client')('my port: ${await utf8.decodeStream(response) == '${info.localPort}'}');
    log('server')('${describe(server.address)}, ${server.port > 0}');
  });

  conforms('POST with an echo', (log) async {
    final server = await log.serve((request) async {
      request.response.headers.contentType = request.headers.contentType;
      await request.response.addStream(request);
      await request.response.close();
    });
    final request = await log.httpClient().postUrl(uriOf(server));
    request.headers.contentType = ContentType.json;
    request.write('{"a": 1}');
    final response = await request.close();
    log('client')('${response.headers.contentType} ${await utf8.decodeStream(response)}');
  });

  conforms('404, and others', (log) async {
    final server = await log.serve((request) {
      request.response.statusCode = int.parse(request.uri.path.substring(1));
      request.response.close();
    });
    final client = log.httpClient();
    for (final status in [200, 204, 304, 404, 418, 500, 503]) {
      final response = await client.ask(server, '/$status');
      log('client')('${response.statusCode} ${response.reasonPhrase}, ${await response.length} pieces');
    }
  });

  conforms('HEAD, PUT, DELETE, OPTIONS', (log) async {
    final server = await log.serve((request) async {
      final body = await utf8.decodeStream(request);
      request.response
        ..headers.set('X-Method', request.method)
        ..write(request.method == 'HEAD' ? '' : 'body: $body')
        ..close();
    });
    final client = log.httpClient();
    for (final method in ['HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      final request = await client.openUrl(method, uriOf(server));
      if (method == 'PUT') request.write('something');
      final response = await request.close();
      log('client')('${response.headers.value('X-Method')} ${await utf8.decodeStream(response)}');
    }
  });

  conforms('redirects', (log) async {
    final server = await log.serve((request) {
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
    final response = await log.httpClient().ask(server);
    log('client')('${[for (final redirect in response.redirects) redirect.location.path]}');
    log('client')(await utf8.decodeStream(response));
  });

  conforms('cookies and headers', (log) async {
    final server = await log.serve((request) {
      request.response
        ..cookies.add(Cookie('b', '2'))
        ..headers.set('X-Many', ['1', '2'])
        ..write('${request.cookies} ${request.headers['x-test']}')
        ..close();
    });
    final request = await log.httpClient().getUrl(uriOf(server));
    request.cookies.add(Cookie('a', '1'));
    request.headers.add('X-Test', 'a test');
    final response = await request.close();
    log('client')('${response.headers['x-many']} ${response.cookies.single.name}');
    log('client')(await utf8.decodeStream(response));
  });

  conforms('compression', (log) async {
    final server = await log.serve((request) {
      request.response.write('a' * 10000);
      request.response.close();
    });
    server.autoCompress = true;
    final response = await log.httpClient().ask(server);
    log('client')('${response.compressionState.name} ${(await utf8.decodeStream(response)).length}');
  });
}
