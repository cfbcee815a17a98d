/// dart:io's HTTP server and client, neither of which knows that the daemon has their sockets.
///
///     dart run example/http_server.dart [PORT]
///
/// With a port it serves until Ctrl-C; without one it asks itself once, and ends.
library;

import 'dart:convert';
import 'dart:io';

import 'package:oche/io.dart';

Future<void> main(List<String> arguments) => runWithOche(() async {
      final server = await HttpServer.bind('localhost', arguments.isEmpty ? 0 : int.parse(arguments.first));
      final uri = Uri.http('localhost:${server.port}', '/darts');
      stdout.writeln('serving $uri');
      server.listen((request) {
        request.response
          ..write('You asked for ${request.uri.path}.\n')
          ..close();
      });
      if (arguments.isNotEmpty) return;

      final client = HttpClient();
      final response = await (await client.getUrl(uri)).close();
      stdout.write('${response.statusCode}: ${await utf8.decodeStream(response)}');
      client.close();
      await server.close();
    });
