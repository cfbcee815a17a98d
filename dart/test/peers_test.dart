/// Programs that know nothing of Dart at the other end: curl, netcat, and Node.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'package:oche/io.dart';

import 'support/testing.dart';

Future<void> main(List<String> arguments) {
  curl();
  netcat();
  node();
  return runTests(arguments);
}

final _loopback = InternetAddress.loopbackIPv4;

/// A test whose sockets are of oche, with the path of the program that it needs.
void _testWith(String program, String name, Future<void> Function(String path) body) {
  test('$program: $name', () async {
    final path = _find(program);
    if (path == null) throw Skip('$program is not installed');
    await runWithOche(() => body(path));
  });
}

String? _find(String program) {
  for (final directory in (Platform.environment['PATH'] ?? '').split(':')) {
    final path = '$directory/$program';
    // Executable by somebody: mode 0111.
    if (FileStat.statSync(path) case FileStat(type: FileSystemEntityType.file, :final mode) when mode & 73 != 0) {
      return path;
    }
  }
  return null;
}

/// A program that runs. What it prints is collected; its errors, too.
final class _Program {
  _Program._(this.process) {
    final out = process.stdout.listen((data) {
      _out.add(data);
      for (final waiting in _waiting.toList()) {
        if (_text.contains(waiting.$1)) {
          _waiting.remove(waiting);
          waiting.$2.complete();
        }
      }
    }).asFuture<void>();
    final err = process.stderr.transform(utf8.decoder).join().then((text) => _errors = text);
    _ended = Future.wait([out, err]);
  }

  static Future<_Program> start(String path, List<String> arguments) async => _Program._(
        await Process.start(path, arguments, environment: _environment, includeParentEnvironment: false),
      );

  /// Nothing is to be loaded into a stranger.
  static final _environment = {...Platform.environment}..remove('LD_PRELOAD');

  final Process process;
  final _out = BytesBuilder();
  late final Future<void> _ended;
  String _errors = '';
  final _waiting = <(String, Completer<void>)>[];

  String get _text => latin1.decode(_out.toBytes());

  /// Comes back when it has printed this.
  Future<void> prints(String text) {
    if (_text.contains(text)) return Future.value();
    final completer = Completer<void>();
    _waiting.add((text, completer));
    return completer.future;
  }

  /// All that it has printed, when it has ended. It has to succeed.
  Future<Uint8List> output() async {
    final code = await process.exitCode;
    await _ended;
    if (code != 0) throw Failure('the program ended with $code: $_errors');
    return _out.toBytes();
  }

  Future<String> text() async => utf8.decode(await output());

  Future<void> kill() async {
    process.kill(ProcessSignal.sigkill);
    await process.exitCode;
    await _ended;
  }
}

Future<Uint8List> _readAll(Stream<List<int>> stream) async {
  final bytes = BytesBuilder();
  await stream.forEach(bytes.add);
  return bytes.takeBytes();
}

String _sum(Uint8List bytes) => '${bytes.length} bytes, Adler-32 ${checksum(bytes).toRadixString(16)}';

Future<HttpServer> _serve(FutureOr<void> Function(HttpRequest request) answer) async {
  final server = await HttpServer.bind(_loopback, 0);
  server.listen(answer);
  return server;
}

/// A directory that is gone at the end.
Future<T> _inDirectory<T>(Future<T> Function(String path) body) async {
  final directory = await Directory.systemTemp.createTemp('oche-peers');
  try {
    return await body(directory.path);
  } finally {
    await directory.delete(recursive: true);
  }
}

void curl() {
  _testWith('curl', 'GET', (curl) async {
    final server = await _serve((request) {
      request.response.write('hello ${request.uri}');
      request.response.close();
    });
    final program = await _Program.start(curl, ['-sS', 'http://127.0.0.1:${server.port}/path?query']);
    expect(await program.text(), 'hello /path?query');
    await server.close();
  });

  _testWith('curl', 'three requests over one connection', (curl) async {
    final ports = <int>{};
    final server = await _serve((request) {
      ports.add(request.connectionInfo!.remotePort);
      request.response.write('${request.uri.path};');
      request.response.close();
    });
    final base = 'http://127.0.0.1:${server.port}';
    final program = await _Program.start(curl, ['-sS', '$base/1', '$base/2', '$base/3']);
    expect(await program.text(), '/1;/2;/3;');
    expect(ports.length, 1, 'the number of connections');
    await server.close();
  });

  _testWith('curl', 'HTTP/1.0, where the end of the connection is the end of the body', (curl) async {
    final body = pattern(300000);
    final server = await _serve((request) async {
      request.response.add(body);
      await request.response.close();
    });
    for (var i = 0; i < 5; i++) {
      final program = await _Program.start(curl, ['-sS', '--http1.0', 'http://127.0.0.1:${server.port}/']);
      expect(_sum(await program.output()), _sum(body), 'the body');
    }
    await server.close();
  });

  _testWith('curl', 'a download of 32 MiB', (curl) async {
    final body = pattern(32 << 20);
    final server = await _serve((request) async {
      request.response.contentLength = body.length;
      await request.response.addStream(
        Stream.fromIterable([
          for (var i = 0; i < body.length; i += 1 << 20) Uint8List.sublistView(body, i, i + (1 << 20)),
        ]),
      );
      await request.response.close();
    });
    await _inDirectory((path) async {
      final program = await _Program.start(curl, ['-sS', '-o', '$path/body', 'http://127.0.0.1:${server.port}/']);
      await program.output();
      expect(_sum(File('$path/body').readAsBytesSync()), _sum(body), 'the file');
    });
    await server.close();
  });

  _testWith('curl', 'an upload of 16 MiB, with a length and in chunks', (curl) async {
    final body = pattern(16 << 20);
    final server = await _serve((request) async {
      request.response.write('${request.contentLength} ${_sum(await _readAll(request))}');
      await request.response.close();
    });
    await _inDirectory((path) async {
      File('$path/body').writeAsBytesSync(body);
      for (final chunked in [false, true]) {
        final program = await _Program.start(curl, [
          '-sS',
          if (chunked) ...['-H', 'Transfer-Encoding: chunked'],
          ...['-T', '$path/body'],
          'http://127.0.0.1:${server.port}/',
        ]);
        expect(await program.text(), '${chunked ? -1 : body.length} ${_sum(body)}');
      }
    });
    await server.close();
  });

  _testWith('curl', 'a form, with 100 Continue or without', (curl) async {
    final server = await _serve((request) async {
      request.response.write(_sum(await _readAll(request)));
      await request.response.close();
    });
    final body = 'x' * 20000;
    for (final expects in [true, false]) {
      final program = await _Program.start(curl, [
        '-sS',
        ...['--expect100-timeout', '0.01'],
        ...['-H', expects ? 'Expect: 100-continue' : 'Expect:'],
        ...['--data', body],
        'http://127.0.0.1:${server.port}/',
      ]);
      expect(await program.text(), _sum(utf8.encode(body)));
    }
    await server.close();
  });

  _testWith('curl', 'gives up as soon as it sees the length: the server goes on with others', (curl) async {
    final server = await _serve((request) async {
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
    final large = await _Program.start(curl, ['-sS', '--max-filesize', '1000', '$base/large']);
    expect(await large.process.exitCode, 63, 'the exit code');
    final small = await _Program.start(curl, ['-sS', '--max-filesize', '1000', '$base/small']);
    expect(await small.text(), 'small');
    await server.close(force: true);
  });
}

void netcat() {
  _testWith('nc', 'a client that ends its side: the answer comes behind', (nc) async {
    final server = await ServerSocket.bind(_loopback, 0);
    final serving = server.first.then((socket) async {
      final question = await utf8.decodeStream(socket);
      socket.write('you said: $question');
      await socket.close();
    });
    final program = await _Program.start(nc, ['-N', '127.0.0.1', '${server.port}']);
    program.process.stdin.write('hello');
    await program.process.stdin.close();
    expect(await program.text(), 'you said: hello');
    await serving;
  });

  _testWith('nc', 'a client that does not end its side, until the server does', (nc) async {
    final server = await ServerSocket.bind(_loopback, 0);
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
    final program = await _Program.start(nc, ['127.0.0.1', '${server.port}']);
    program.process.stdin.write('hello');
    await program.process.stdin.flush();
    await serving;
    await program.prints('goodbye');
    await program.process.stdin.close();
    await program.output();
  });

  _testWith('nc', 'a client sends 16 MiB', (nc) async {
    final server = await ServerSocket.bind(_loopback, 0);
    final body = pattern(16 << 20);
    final serving = server.first.then((socket) async {
      final bytes = await _readAll(socket);
      await socket.close();
      return bytes;
    });
    final program = await _Program.start(nc, ['-N', '127.0.0.1', '${server.port}']);
    program.process.stdin.add(body);
    await program.process.stdin.close();
    expect(_sum(await serving), _sum(body));
    await program.output();
  });

  _testWith('nc', 'a server that ends its side', (nc) async {
    final port = await _freePort();
    final program = await _Program.start(nc, ['-N', '-l', '127.0.0.1', '$port']);
    program.process.stdin.write('from netcat');
    await program.process.stdin.close();
    final socket = await _connect(port);
    final text = utf8.decodeStream(socket);
    socket.write('from oche');
    expect(await text, 'from netcat');
    await socket.close();
    expect(await program.text(), 'from oche');
  });

  _testWith('nc', 'a server that gets 16 MiB, and our end', (nc) async {
    final port = await _freePort();
    final program = await _Program.start(nc, ['-N', '-l', '127.0.0.1', '$port']);
    final socket = await _connect(port);
    final body = pattern(16 << 20);
    await socket.addStream(Stream.value(body));
    await socket.close();
    await program.process.stdin.close();
    await socket.drain<void>();
    expect(_sum(await program.output()), _sum(body));
  });

  _testWith('nc', 'a peer that is killed', (nc) async {
    final server = await ServerSocket.bind(_loopback, 0);
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
    final program = await _Program.start(nc, ['127.0.0.1', '${server.port}']);
    program.process.stdin.write('x');
    await program.process.stdin.flush();
    await begun.future;
    await program.kill();
    await ended.future;
  });
}

/// A port where nobody listens now.
Future<int> _freePort() async {
  final server = await RawServerSocket.bind(_loopback, 0);
  final port = server.port;
  await server.close();
  return port;
}

/// Connects as soon as somebody listens there.
Future<Socket> _connect(int port) async {
  late Socket socket;
  await eventually(() async {
    try {
      socket = await Socket.connect(_loopback, port);
      return true;
    } on SocketException {
      return false;
    }
  }, 'somebody listens');
  return socket;
}

/// Runs a script, which may use `port` and `sum`, the checksum of bytes.
Future<_Program> _script(String node, String script, [int port = 0]) => _Program.start(node, [
      '-e',
      '''
    const net = require('net'), http = require('http'), port = $port;
    const sum = (bytes) => {
      let a = 1, b = 0;
      for (const byte of bytes) { a = (a + byte) % 65521; b = (b + a) % 65521; }
      return bytes.length + ' bytes, Adler-32 ' + (b * 65536 + a).toString(16);
    };
    const listen = (server) => server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));
    $script
  ''',
    ]);

/// The port that a script says it listens on.
Future<int> _portOf(_Program program) async {
  final expression = RegExp(r'port (\d+)\n');
  await program.prints('port ');
  await eventually(() => expression.hasMatch(program._text), 'the port is printed');
  return int.parse(expression.firstMatch(program._text)![1]!);
}

void node() {
  _testWith('node', 'net client with half close', (node) async {
    final server = await ServerSocket.bind(_loopback, 0);
    final serving = server.first.then((socket) async {
      final question = await utf8.decodeStream(socket);
      socket.write('$question, behind the end');
      await socket.close();
    });
    final program = await _script(
        node,
        '''
      const socket = net.connect({port, host: '127.0.0.1', allowHalfOpen: true});
      let text = '';
      socket.on('data', (data) => text += data).on('end', () => console.log(text));
      socket.end('hello');
    ''',
        server.port);
    expect(await program.text(), 'hello, behind the end\n');
    await serving;
  });

  _testWith('node', 'net client, 16 MiB both ways', (node) async {
    final server = await ServerSocket.bind(_loopback, 0);
    final serving = server.first.then((socket) => socket.cast<List<int>>().pipe(socket));
    final body = pattern(16 << 20);
    final program = await _script(
        node,
        '''
      const body = Buffer.alloc(16 << 20);
      for (let i = 0, state = 1; i < body.length; i++) {
        state = (state * 75 + 74) % 65537;
        body[i] = state + (i >> 16);
      }
      const socket = net.connect(port, '127.0.0.1'), pieces = [];
      socket.on('data', (data) => pieces.push(data)).on('end', () => console.log(sum(Buffer.concat(pieces))));
      socket.end(body);
    ''',
        server.port);
    expect(await program.text(), '${_sum(body)}\n');
    await serving;
  });

  _testWith('node', 'net server, an echo', (node) async {
    final program = await _script(node, '''
      const server = net.createServer({allowHalfOpen: true}, (socket) => {
        socket.pipe(socket);
        socket.on('close', () => server.close());
      });
      listen(server);
    ''');
    final socket = await Socket.connect(_loopback, await _portOf(program));
    final echo = _readAll(socket);
    final body = pattern(16 << 20);
    await socket.addStream(Stream.value(body));
    await socket.close();
    expect(_sum(await echo), _sum(body));
    await program.output();
  });

  _testWith('node', 'net server that ends first', (node) async {
    final program = await _script(node, '''
      const server = net.createServer({allowHalfOpen: true}, (socket) => {
        let text = '';
        socket.on('data', (data) => text += data).on('end', () => { console.log('got ' + text); server.close(); });
        socket.end('hello');
      });
      listen(server);
    ''');
    final socket = await Socket.connect(_loopback, await _portOf(program));
    expect(await utf8.decodeStream(socket), 'hello');
    socket.write('thanks');
    await socket.close();
    expectTrue((await program.text()).endsWith('got thanks\n'), 'it got our answer');
  });

  _testWith('node', 'net client that resets', (node) async {
    final server = await ServerSocket.bind(_loopback, 0);
    final noticed = server.first.then((socket) async {
      try {
        await socket.forEach((_) {});
        return 'the end';
      } on SocketException catch (error) {
        return 'errno ${error.osError?.errorCode}';
      } finally {
        socket.destroy();
      }
    });
    final program = await _script(
        node,
        '''
      const socket = net.connect(port, '127.0.0.1', () => socket.write('hello', () => socket.resetAndDestroy()));
    ''',
        server.port);
    await program.output();
    expect(await noticed, 'errno 104');
  });

  _testWith('node', 'net server that refuses a hundred clients, and takes another hundred', (node) async {
    final program = await _script(node, '''
      let count = 0;
      const server = net.createServer((socket) => {
        socket.on('error', () => {});
        if (++count <= 100) socket.destroy(); else socket.end('hello');
        if (count == 200) server.close();
      });
      listen(server);
    ''');
    final port = await _portOf(program);
    var greetings = 0;
    for (var i = 0; i < 20; i++) {
      await Future.wait([
        for (var j = 0; j < 10; j++)
          Socket.connect(_loopback, port).then((socket) async {
            if (await utf8.decodeStream(socket) == 'hello') greetings++;
            await socket.close();
          }),
      ]);
    }
    expect(greetings, 100, 'the number of greetings');
    await program.output();
  });

  _testWith('node', 'http client over one connection', (node) async {
    final ports = <int>{};
    final server = await _serve((request) async {
      ports.add(request.connectionInfo!.remotePort);
      final body = await _readAll(request);
      request.response.write('${request.method} ${request.uri} ${_sum(body)}');
      await request.response.close();
    });
    final program = await _script(
        node,
        '''
      const agent = new http.Agent({keepAlive: true, maxSockets: 1});
      const ask = (i) => {
        if (i == 10) return agent.destroy();
        const request = http.request({port, host: '127.0.0.1', agent, path: '/' + i, method: i % 2 ? 'POST' : 'GET'}, (response) => {
          let text = '';
          response.on('data', (data) => text += data).on('end', () => { console.log(text); setImmediate(() => ask(i + 1)); });
        });
        request.end(i % 2 ? 'x'.repeat(i * 1000) : undefined);
      };
      ask(0);
    ''',
        server.port);
    expect(
        await program.text(),
        [
          for (var i = 0; i < 10; i++)
            '${i.isOdd ? 'POST' : 'GET'} /$i ${_sum(utf8.encode(i.isOdd ? 'x' * i * 1000 : ''))}\n',
        ].join());
    expect(ports.length, 1, 'the number of connections');
    await server.close();
  });

  _testWith('node', 'http client, a hundred at the same time', (node) async {
    final server = await _serve((request) async {
      request.response.write(request.uri.path);
      await request.response.close();
    });
    final program = await _script(
        node,
        '''
      const get = (i) => new Promise((resolve, reject) => http.get({port, host: '127.0.0.1', path: '/' + i, agent: false}, (response) => {
        let text = '';
        response.on('data', (data) => text += data).on('end', () => resolve(text == '/' + i));
      }).on('error', reject));
      Promise.all([...Array(100).keys()].map(get)).then((all) => console.log(all.filter((right) => right).length));
    ''',
        server.port);
    expect(await program.text(), '100\n');
    await server.close();
  });

  _testWith('node', 'http server', (node) async {
    final program = await _script(node, '''
      const ports = new Set();
      const server = http.createServer((request, response) => {
        ports.add(request.socket.remotePort);
        const pieces = [];
        request.on('data', (data) => pieces.push(data)).on('end', () => {
          response.end(request.method + ' ' + request.url + ' ' + sum(Buffer.concat(pieces)) + ' ' + ports.size);
          if (request.url == '/end') server.close();
        });
      });
      listen(server);
    ''');
    final port = await _portOf(program);
    final client = HttpClient();
    for (final path in ['/one', '/two', '/end']) {
      final request = await client.post('127.0.0.1', port, path);
      final body = pattern(100000);
      request.add(body);
      final response = await request.close();
      expect(await utf8.decodeStream(response), 'POST $path ${_sum(body)} 1', 'the answer');
      await Future<void>.delayed(Duration.zero); // then the connection is free again
    }
    client.close(force: true);
    await program.output();
  });

  _testWith('node', 'http server, a download of 16 MiB', (node) async {
    final program = await _script(node, '''
      const body = Buffer.alloc(16 << 20);
      for (let i = 0, state = 1; i < body.length; i++) {
        state = (state * 75 + 74) % 65537;
        body[i] = state + (i >> 16);
      }
      const server = http.createServer((request, response) => {
        response.on('close', () => server.close()).setHeader('Connection', 'close').end(body);
      });
      listen(server);
    ''');
    final client = HttpClient();
    final request = await client.get('127.0.0.1', await _portOf(program), '/');
    final response = await request.close();
    expect(_sum(await _readAll(response)), _sum(pattern(16 << 20)));
    client.close(force: true);
    await program.output();
  });
}
