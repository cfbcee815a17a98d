/// curl at the other end.
library;

import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'support/peer_program.dart';

Future<void> main(List<String> arguments) {
  curl();
  return runTests(arguments);
}

void curl() {
  testAgainst('curl', 'GET', (curl) async {
    final server = await serveHttp((request) {
      request.response.write('hello ${request.uri}');
      request.response.close();
    });
    final program = await PeerProgram.start(curl, ['-sS', 'http://127.0.0.1:${server.port}/path?query']);
    expect(await program.text(), 'hello /path?query');
    await server.close();
  });

  testAgainst('curl', 'three requests over one connection', (curl) async {
    final ports = <int>{};
    final server = await serveHttp((request) {
      ports.add(request.connectionInfo!.remotePort);
      request.response.write('${request.uri.path};');
      request.response.close();
    });
    final base = 'http://127.0.0.1:${server.port}';
    final program = await PeerProgram.start(curl, ['-sS', '$base/1', '$base/2', '$base/3']);
    expect(await program.text(), '/1;/2;/3;');
    expect(ports.length, 1, 'the number of connections');
    await server.close();
  });

  testAgainst('curl', 'HTTP/1.0, where the end of the connection is the end of the body', (curl) async {
    final body = pattern(300000);
    final server = await serveHttp((request) async {
      request.response.add(body);
      await request.response.close();
    });
    for (var i = 0; i < 5; i++) {
      final program = await PeerProgram.start(curl, ['-sS', '--http1.0', 'http://127.0.0.1:${server.port}/']);
      expect(summary(await program.output()), summary(body), 'the body');
    }
    await server.close();
  });

  testAgainst('curl', 'a download of 32 MiB', (curl) async {
    final body = pattern(32 << 20);
    final server = await serveHttp((request) async {
      request.response.contentLength = body.length;
      await request.response.addStream(
        Stream.fromIterable([
          for (var i = 0; i < body.length; i += 1 << 20) Uint8List.sublistView(body, i, i + (1 << 20)),
        ]),
      );
      await request.response.close();
    });
    await inDirectory((path) async {
      final program = await PeerProgram.start(curl, ['-sS', '-o', '$path/body', 'http://127.0.0.1:${server.port}/']);
      await program.output();
      expect(summary(File('$path/body').readAsBytesSync()), summary(body), 'the file');
    });
    await server.close();
  });

  testAgainst('curl', 'an upload of 16 MiB, with a length and in chunks', (curl) async {
    final body = pattern(16 << 20);
    final server = await serveHttp((request) async {
      request.response.write('${request.contentLength} ${summary(await collect(request))}');
      await request.response.close();
    });
    await inDirectory((path) async {
      File('$path/body').writeAsBytesSync(body);
      for (final chunked in [false, true]) {
        final program = await PeerProgram.start(curl, [
          '-sS',
          if (chunked) ...['-H', 'Transfer-Encoding: chunked'],
          ...['-T', '$path/body'],
          'http://127.0.0.1:${server.port}/',
        ]);
        expect(await program.text(), '${chunked ? -1 : body.length} ${summary(body)}');
      }
    });
    await server.close();
  });

  testAgainst('curl', 'a form, with 100 Continue or without', (curl) async {
    final server = await serveHttp((request) async {
      request.response.write(summary(await collect(request)));
      await request.response.close();
    });
    final body = 'x' * 20000;
    for (final expects in [true, false]) {
      final program = await PeerProgram.start(curl, [
        '-sS',
        ...['--expect100-timeout', '0.01'],
        ...['-H', expects ? 'Expect: 100-continue' : 'Expect:'],
        ...['--data', body],
        'http://127.0.0.1:${server.port}/',
      ]);
      expect(await program.text(), summary(utf8.encode(body)));
    }
    await server.close();
  });

  testAgainst('curl', 'gives up as soon as it sees the length: the server goes on with others', (curl) async {
    final server = await serveHttp((request) async {
      if (request.uri.path == '/small') {
        request.response.write('small');
      } else {
        request.response.contentLength = 64 << 20;
        try {
          await request.response.addStream(Stream.fromIterable([for (var i = 0; i < 64; i++) Uint8List(1 << 20)]));
        } on Exception {
          return; // the client is gone
        }
      }
      await request.response.close();
    });
    final base = 'http://127.0.0.1:${server.port}';
    final large = await PeerProgram.start(curl, ['-sS', '--max-filesize', '1000', '$base/large']);
    expect(await large.process.exitCode, 63, 'the exit code');
    final small = await PeerProgram.start(curl, ['-sS', '--max-filesize', '1000', '$base/small']);
    expect(await small.text(), 'small');
    await server.close(force: true);
  });
}
