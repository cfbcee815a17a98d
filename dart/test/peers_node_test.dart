/// Node at the other end.
library;

import 'dart:convert';
import 'dart:io';

import 'support/peer_program.dart';

Future<void> main(List<String> arguments) {
  node();
  return runTests(arguments);
}

/// Runs a script, which may use `port` and `sum`, the checksum of bytes.
Future<PeerProgram> _script(String node, String script, [int port = 0]) => PeerProgram.start(node, [
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
Future<int> _portOf(PeerProgram program) async {
  final expression = RegExp(r'port (\d+)\n');
  await program.prints('port ');
  await eventually(() => expression.hasMatch(program.printed), 'the port is printed');
  return int.parse(expression.firstMatch(program.printed)![1]!);
}

void node() {
  testAgainst('node', 'net client with half close', (node) async {
    final server = await ServerSocket.bind(loopback, 0);
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

  testAgainst('node', 'net client, 16 MiB both ways', (node) async {
    final server = await ServerSocket.bind(loopback, 0);
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
    expect(await program.text(), '${summary(body)}\n');
    await serving;
  });

  testAgainst('node', 'net server, an echo', (node) async {
    final program = await _script(node, '''
      const server = net.createServer({allowHalfOpen: true}, (socket) => {
        socket.pipe(socket);
        socket.on('close', () => server.close());
      });
      listen(server);
    ''');
    final socket = await Socket.connect(loopback, await _portOf(program));
    final echo = collect(socket);
    final body = pattern(16 << 20);
    await socket.addStream(Stream.value(body));
    await socket.close();
    expect(summary(await echo), summary(body));
    await program.output();
  });

  testAgainst('node', 'net server that ends first', (node) async {
    final program = await _script(node, '''
      const server = net.createServer({allowHalfOpen: true}, (socket) => {
        let text = '';
        socket.on('data', (data) => text += data).on('end', () => { console.log('got ' + text); server.close(); });
        socket.end('hello');
      });
      listen(server);
    ''');
    final socket = await Socket.connect(loopback, await _portOf(program));
    expect(await utf8.decodeStream(socket), 'hello');
    socket.write('thanks');
    await socket.close();
    expectTrue((await program.text()).endsWith('got thanks\n'), 'it got our answer');
  });

  testAgainst('node', 'net client that resets', (node) async {
    final server = await ServerSocket.bind(loopback, 0);
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

  testAgainst('node', 'net server that refuses a hundred clients, and takes another hundred', (node) async {
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
          Socket.connect(loopback, port).then((socket) async {
            if (await utf8.decodeStream(socket) == 'hello') greetings++;
            await socket.close();
          }),
      ]);
    }
    expect(greetings, 100, 'the number of greetings');
    await program.output();
  });

  testAgainst('node', 'http client over one connection', (node) async {
    final ports = <int>{};
    final server = await serveHttp((request) async {
      ports.add(request.connectionInfo!.remotePort);
      final body = await collect(request);
      request.response.write('${request.method} ${request.uri} ${summary(body)}');
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
            '${i.isOdd ? 'POST' : 'GET'} /$i ${summary(utf8.encode(i.isOdd ? 'x' * i * 1000 : ''))}\n',
        ].join());
    expect(ports.length, 1, 'the number of connections');
    await server.close();
  });

  testAgainst('node', 'http client, a hundred at the same time', (node) async {
    final server = await serveHttp((request) async {
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

  testAgainst('node', 'http server', (node) async {
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
      expect(await utf8.decodeStream(response), 'POST $path ${summary(body)} 1', 'the answer');
      await Future<void>.delayed(Duration.zero); // then the connection is free again
    }
    client.close(force: true);
    await program.output();
  });

  testAgainst('node', 'http server, a download of 16 MiB', (node) async {
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
    expect(summary(await collect(response)), summary(pattern(16 << 20)));
    client.close(force: true);
    await program.output();
  });
}
