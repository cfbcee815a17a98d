/// ServerSocket: which address and port it gets, and with whom it shares them.
library;

import 'dart:async';
import 'dart:io';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  binding();
  sharing();
  return runTests(arguments);
}

const _ownError = 'dart:io knows its own servers, and has an error of its own for them';

void binding() {
  conforms('port 0 becomes a port, a given port stays', (log) async {
    final server = await log.bind();
    log('server')('a port: ${server.port > 0}');
    final other = await log.bind(address: '127.77.77.77', port: server.port);
    log('server')('the same: ${server.port == other.port}');
  });

  for (final address in ['127.0.0.1', '::1', '0.0.0.0', '::', 'localhost', '127.9.8.7']) {
    conforms('the address of a server at $address', (log) async {
      log('server')(describe((await log.bind(address: address)).address));
    });
  }

  conforms('as an InternetAddress', (log) async {
    for (final address in [
      InternetAddress.loopbackIPv4,
      InternetAddress.anyIPv4,
      InternetAddress.loopbackIPv6,
      InternetAddress.anyIPv6,
      InternetAddress('127.1.1.1'),
    ]) {
      final server = await log.bind(address: address);
      log('server')('${describe(server.address)} ${server.address == address}');
    }
  });

  conforms(
    'a port that is taken',
    (log) async {
      final server = await log.bind();
      try {
        await ServerSocket.bind(server.address, server.port);
      } on SocketException catch (error) {
        log('server')(describe(error));
        log('server')('address ${error.address == server.address}, port ${error.port == server.port}');
        log('server')('says what is wrong: ${'$error'.contains('Address already in use')}');
      }
    },
    expected: [
      'server: SocketException(errno -1)',
      'server: address true, port true',
      'server: says what is wrong: false',
    ],
    differs: _ownError,
    oche: [
      'server: SocketException(errno 98)',
      'server: address true, port true',
      'server: says what is wrong: true',
    ],
  );

  conforms('a port of a connection that was accepted', (log) async {
    final (client, _) = await log.pair();
    await log('server').outcome('bind', ServerSocket.bind('127.0.0.1', client.port));
  });

  conforms('an address that is not here', (log) async {
    await log('server').outcome('bind', ServerSocket.bind('192.0.2.211', 0));
  });

  conforms('IPv4 and IPv6 at the same port', (log) async {
    final four = await log.bind(address: InternetAddress.anyIPv4);
    await log('v6Only').outcome('bind', log.bind(address: InternetAddress.anyIPv6, port: four.port, v6Only: true));
  });

  conforms('IPv4 is in the way of IPv6 for both', (log) async {
    final four = await log.bind(address: InternetAddress.anyIPv4);
    await log('both').outcome('bind', log.bind(address: InternetAddress.anyIPv6, port: four.port));
  });

  conforms('again at the same port after closing, with connections still there', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final client = await log.connect(server);
    final served = log.own(await accepted);
    await server.close();
    final again = await log.bind(port: server.port);
    log('again')('the same port: ${again.port == server.port}');
    client.write('the first connection lives on');
    unawaited(client.close());
    await log('in').watch(served).done;
  });

  conforms('again at the same port, ten times', (log) async {
    var port = 0;
    for (var i = 0; i < 10; i++) {
      final server = await ServerSocket.bind('127.0.0.1', port);
      port = server.port;
      final accepted = server.first;
      final client = await Socket.connect('127.0.0.1', port);
      final served = await accepted;
      served.destroy();
      await client.drain<void>();
      client.destroy();
      await server.close();
    }
    log('server')('ten');
  });

  conforms('a server has one listener', (log) async {
    final server = await log.bind();
    log('server')('broadcast: ${server.isBroadcast}');
    server.listen((_) {});
    try {
      server.listen((_) {});
    } on StateError {
      log('server')('a StateError');
    }
  }, expected: ['server: broadcast: false', 'server: a StateError']);
}

void sharing() {
  conforms('shared servers share a port', (log) async {
    final one = await log.bind(shared: true);
    final two = await log.bind(port: one.port, shared: true);
    var count = 0;
    final all = Completer<void>();
    void count1(Socket socket) {
      log.own(socket);
      if (++count == 20) all.complete();
    }

    one.listen(count1);
    two.listen(count1);
    for (var i = 0; i < 20; i++) {
      await log.connect(one);
    }
    await all.future;
    log('servers')('$count connections');
  });

  conforms('the other goes on when one is closed', (log) async {
    final one = await log.bind(shared: true);
    final two = await log.bind(port: one.port, shared: true);
    await one.close();
    final saying = say(two, 'hello');
    log('server')(await hear(await two.first));
    await saying;
  });

  conforms(
    'one that is not shared is in the way',
    (log) async {
      final one = await log.bind();
      await log('shared').outcome('bind', log.bind(port: one.port, shared: true));
    },
    expected: ['shared: bind fails: SocketException(errno -1)'],
    differs: _ownError,
    oche: ['shared: bind fails: SocketException(errno 98)'],
  );

  conforms(
    'one that is shared is in the way of one that is not',
    (log) async {
      final one = await log.bind(shared: true);
      await log('alone').outcome('bind', log.bind(port: one.port));
    },
    expected: ['alone: bind fails: SocketException(errno -1)'],
    differs: _ownError,
    oche: ['alone: bind fails: SocketException(errno 98)'],
  );

  conforms('shared at different addresses', (log) async {
    final one = await log.bind(shared: true);
    await log('other').outcome('bind', log.bind(address: '127.0.0.2', port: one.port, shared: true));
  });
}
