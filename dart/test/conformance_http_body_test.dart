/// The bodies of requests and answers: long, short, slow, and not read.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';
import 'support/http.dart';

Future<void> main(List<String> arguments) {
  bodies();
  return runTests(arguments);
}

void bodies() {
  conforms('8 MiB down', (log) async {
    final server = await log.serve((request) async {
      await request.response.addStream(pieces(128, 65536));
      await request.response.close();
    });
    final response = await log.httpClient().ask(server);
    log('client')('${response.contentLength} ${response.headers.chunkedTransferEncoding}');
    await response.forEach(log('client').data);
  });

  conforms('8 MiB down, with a length', (log) async {
    final server = await log.serve((request) async {
      request.response.contentLength = 8 << 20;
      request.response.add(pattern(8 << 20));
      await request.response.close();
    });
    final response = await log.httpClient().ask(server);
    log('client')('${response.contentLength} ${response.headers.chunkedTransferEncoding}');
    await response.forEach(log('client').data);
  });

  conforms('8 MiB up', (log) async {
    final server = await log.serve((request) async {
      final sum = Sum();
      await request.forEach(sum.add);
      request.response.write(sum);
      await request.response.close();
    });
    final request = await log.httpClient().postUrl(uriOf(server));
    await request.addStream(pieces(128, 65536));
    log('client')(await utf8.decodeStream(await request.close()));
  });

  conforms('8 MiB up and down at the same time', (log) async {
    final server = await log.serve((request) => request.cast<List<int>>().pipe(request.response));
    final request = await log.httpClient().postUrl(uriOf(server));
    request.contentLength = 8 << 20;
    unawaited(request.addStream(pieces(128, 65536)).then((_) => request.close()));
    await (await request.done).forEach(log('client').data);
  });

  conforms('a client that reads slowly holds the server back', (log) async {
    const all = 48 << 20;
    var taken = 0;
    final server = await log.serve((request) async {
      await request.response.addStream(pieces(all >> 16, 65536, onPiece: (count) => taken = count << 16));
      await request.response.close();
    });
    final response = await log.httpClient().ask(server);
    var received = 0;
    final done = Completer<void>();
    final subscription = response.listen((data) => received += data.length, onDone: done.complete)..pause();
    await settled(() => taken);
    log('server')('held back: ${taken < all}');
    subscription.resume();
    await done.future;
    log('client')('${received == all}');
  });

  conforms('chunks as they are written', (log) async {
    final next = StreamController<void>();
    final ticks = StreamIterator(next.stream);
    final server = await log.serve((request) async {
      request.response.bufferOutput = false;
      for (var i = 0; i < 5; i++) {
        request.response.write('chunk $i\n');
        await request.response.flush();
        await ticks.moveNext();
      }
      await request.response.close();
    });
    final response = await log.httpClient().ask(server);
    await for (final line in response.transform(utf8.decoder).transform(const LineSplitter())) {
      log('client')(line);
      next.add(null);
    }
  });

  conforms('a body of nothing', (log) async {
    final server = await log.serve((request) async {
      log('server')('${await request.isEmpty}');
      await request.response.close();
    });
    final request = await log.httpClient().postUrl(uriOf(server));
    request.contentLength = 0;
    final response = await request.close();
    log('client')('${await response.isEmpty}');
  });

  conforms('a body that nobody reads', (log) async {
    final server = await log.serve((request) {
      request.response.write('not read');
      request.response.close();
    });
    final client = log.httpClient();
    for (var i = 0; i < 3; i++) {
      final request = await client.postUrl(uriOf(server));
      request.add(Uint8List(1000));
      log('client')(await utf8.decodeStream(await request.close()));
    }
  });

  conforms('a length that is not kept', (log) async {
    final server = await log.serve((request) async {
      request.response.contentLength = 5;
      request.response.write('more than five');
      await log('server').outcome('close', request.response.close());
    });
    try {
      final response = await log.httpClient().ask(server);
      await response.drain<void>();
      log('client')('a response');
    } on HttpException {
      log('client')('HttpException');
    }
  });
}
