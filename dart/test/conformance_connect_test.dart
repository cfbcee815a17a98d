/// Connecting: names and addresses, what goes wrong, limits and second thoughts; and what a socket tells of itself.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  hosts();
  failures();
  arguments_();
  patienceOfConnects();
  tasks();
  getters();
  options();
  return runTests(arguments);
}

/// A server at [bound] and a client that goes for [host]; they greet each other.
Future<void> _greet(Log log, Object bound, Object host, {bool v6Only = false, Object? sourceAddress}) async {
  final server = await log.bind(address: bound, v6Only: v6Only);
  final accepted = server.first;
  final client = log.own(await Socket.connect(host, server.port, sourceAddress: sourceAddress));
  final served = log.own(await accepted);
  log('client')('remoteAddress ${describe(client.remoteAddress)}');
  log('client')('remotePort is right: ${client.remotePort == server.port}');
  log('server')('remotePort is right: ${served.remotePort == client.port}');
  log('server')('port is right: ${served.port == server.port}');
  log('server')('remoteAddress ${describe(served.remoteAddress)}');
  client.write('hello');
  await client.close();
  log('server')(await utf8.decodeStream(served));
}

void hosts() {
  final any4 = InternetAddress.anyIPv4, any6 = InternetAddress.anyIPv6;
  final loopback4 = InternetAddress.loopbackIPv4, loopback6 = InternetAddress.loopbackIPv6;
  for (final (bound, host) in <(Object, Object)>[
    (loopback4, loopback4),
    (loopback4, '127.0.0.1'),
    (loopback4, 'localhost'),
    ('127.0.0.1', 'localhost'),
    ('localhost', 'localhost'),
    (loopback6, loopback6),
    ('::1', '::1'),
    (any4, '127.0.0.1'),
    (any4, 'localhost'),
    ('0.0.0.0', '127.4.5.6'),
    (any6, '::1'),
    (any6, '127.0.0.1'),
    (any6, 'localhost'),
    ('::', '::ffff:127.0.0.1'),
    ('127.1.2.3', '127.1.2.3'),
    (InternetAddress('127.5.5.5'), InternetAddress.fromRawAddress(Uint8List.fromList([127, 5, 5, 5]))),
    (loopback4, '0.0.0.0'),
  ]) {
    conforms('${_name(host)} reaches a server at ${_name(bound)}', (log) => _greet(log, bound, host));
  }

  conforms('a name may be looked up before', (log) async {
    final addresses = await InternetAddress.lookup('localhost', type: InternetAddressType.IPv4);
    await _greet(log, addresses.first, addresses.first);
  });

  conforms('a source address', (log) => _greet(log, loopback4, '127.0.0.1', sourceAddress: '127.0.0.9'));

  conforms(
    'a source address as an InternetAddress',
    (log) => _greet(log, loopback4, 'localhost', sourceAddress: InternetAddress('127.0.0.9')),
  );

  conforms('a source port', (log) async {
    final (address, port) = await _deadEnd();
    final server = await log.bind();
    final accepted = server.first;
    final client = log.own(
      await Socket.connect(server.address, server.port, sourceAddress: address, sourcePort: port),
    );
    final served = log.own(await accepted);
    log('server')('remotePort is right: ${served.remotePort == port}');
    log('client')('port is right: ${client.port == port}');
    served.destroy();
  });

  conforms('IPv6 only: IPv4 is refused', (log) async {
    final server = await log.bind(address: any6, v6Only: true);
    server.listen((socket) => socket.destroy());
    await log('IPv6').outcome('connect', Socket.connect('::1', server.port).then(log.own));
    await log('IPv4').outcome('connect', Socket.connect('127.0.0.1', server.port).then(log.own));
  });
}

String _name(Object host) => host is InternetAddress ? '${host.type.name} ${host.address}' : '"$host"';

/// A port of a loopback address of our own where nobody listens.
Future<(InternetAddress, int)> _deadEnd() async {
  final address = InternetAddress('127.84.${pid >> 8 & 255}.${pid & 255}');
  final server = await RawServerSocket.bind(address, 0);
  final port = server.port;
  await server.close();
  return (address, port);
}

void failures() {
  conforms('refused', (log) async {
    final (address, port) = await _deadEnd();
    try {
      await Socket.connect(address, port);
    } on SocketException catch (error) {
      log('client')(describe(error));
      log('client')('address ${error.address == address}, message: ${error.message.isNotEmpty}');
      log('client')('says what is wrong: ${'$error'.contains('Connection refused')}');
    }
  }, expected: [
    'client: SocketException(errno 111)',
    'client: address true, message: true',
    'client: says what is wrong: true',
  ]);

  conforms('refused by name', (log) async {
    final (_, port) = await _deadEnd();
    await log('client').outcome('connect', Socket.connect('localhost', port));
  });

  conforms('refused after a server has closed', (log) async {
    final server = await log.bind();
    final port = server.port;
    await server.close();
    await log('client').outcome('connect', Socket.connect(server.address, port));
  });

  conforms('unreachable', (log) async {
    await log('client').outcome('broadcast', Socket.connect('255.255.255.255', 80));
    await log('client').outcome('multicast', Socket.connect('224.0.0.1', 80));
  });

  conforms('a source address that is not here', (log) async {
    final server = await log.bind();
    await log('client').outcome(
      'connect',
      Socket.connect(server.address, server.port, sourceAddress: '192.0.2.211'),
    );
  }, expected: ['client: connect fails: SocketException(errno 99)']);

  conforms(
    'a source port that is taken',
    (log) async {
      final server = await log.bind();
      await log('client').outcome(
        'connect',
        Socket.connect(server.address, server.port, sourceAddress: server.address, sourcePort: server.port),
      );
    },
    expected: ['client: connect fails: SocketException(errno 98)'],
  );

  conforms(
    'a source address of another family',
    (log) async {
      final server = await log.bind();
      await log('client').outcome(
        'connect',
        Socket.connect(server.address, server.port, sourceAddress: '::1'),
      );
    },
    expected: ['client: connect fails: SocketException(errno 97)'],
    differs: 'not the system says so, but the library',
    oche: ['client: connect fails: SocketException'],
  );

  conforms('unknown names', (log) async {
    await log('client').outcome('connect', Socket.connect('no such host', 80));
    await log('client').outcome('connect', Socket.connect('', 80));
    await log('server').outcome('bind', ServerSocket.bind('no such host', 0));
  });

  conforms(
    'port 0',
    (log) => log('client').outcome('connect', Socket.connect('127.0.0.1', 0)),
    expected: ['client: connect fails: SocketException(errno 111)'],
    differs: 'not the system says so, but the library',
    oche: ['client: connect fails: SocketException'],
  );

  conforms('an error of a connect can be ignored', (log) async {
    final (address, port) = await _deadEnd();
    final connect = Socket.connect(address, port)..ignore();
    await turns(20);
    await log('client').outcome('connect', connect);
  });

  conforms('many that are refused', (log) async {
    final (address, port) = await _deadEnd();
    final outcomes = await Future.wait([
      for (var i = 0; i < 100; i++)
        Socket.connect(address, port).then<String>((_) => 'connected', onError: (Object error) => describe(error)),
    ]);
    log('client')('${outcomes.toSet()}');
  });
}

void arguments_() {
  conforms('ports out of range are refused at once', (log) async {
    for (final port in [-1, 65536, 1 << 40]) {
      log('connect').tries('$port', () => Socket.connect('127.0.0.1', port) is Future);
      log('startConnect').tries('$port', () => Socket.startConnect('127.0.0.1', port) is Future);
      log('source').tries('$port', () => Socket.connect('127.0.0.1', 80, sourcePort: port) is Future);
      log('bind').tries('$port', () => ServerSocket.bind('127.0.0.1', port) is Future);
    }
  });

  conforms('other arguments that make no sense', (log) async {
    log('backlog').tries('-1', () => ServerSocket.bind('127.0.0.1', 0, backlog: -1) is Future);
    log('source').tries('a name', () => Socket.connect('127.0.0.1', 80, sourceAddress: 'localhost') is Future);
    log('source').tries('a number', () => Socket.connect('127.0.0.1', 80, sourceAddress: 7) is Future);
    for (final host in [null, 7, Uri.parse('http://127.0.0.1')]) {
      await Socket.connect(host, 80).then(
        (socket) => log('host')('$host: connects'),
        onError: (Object error) => log('host')('$host: an error: ${error is Error}'),
      );
    }
  });
}

/// An address that does not answer: a server with a full queue.
Future<(InternetAddress, int)> _blackHole(Log log) async {
  final server = await RawServerSocket.bind(InternetAddress.loopbackIPv4, 0, backlog: 1);
  log.atEnd(server.close);
  for (var i = 0; i < 2; i++) {
    final socket = await RawSocket.connect(server.address, server.port);
    log.atEnd(socket.close);
  }
  return (server.address, server.port);
}

void patienceOfConnects() {
  conforms('a limit passes', (log) async {
    final (address, port) = await _blackHole(log);
    await log('client').outcome(
      'connect',
      Socket.connect(address, port, timeout: const Duration(milliseconds: 100)),
    );
  }, expected: ['client: connect fails: SocketException']);

  conforms('a limit that does not pass leaves no trace', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final client = log.own(
      await Socket.connect(server.address, server.port, timeout: const Duration(seconds: 30)),
    );
    client.write('hello');
    unawaited(client.close());
    await log('server').watch(log.own(await accepted)).done;
  });

  conforms('a limit of no time at all, and of less', (log) async {
    final (address, port) = await _blackHole(log);
    await log('client').outcome('zero', Socket.connect(address, port, timeout: Duration.zero));
    await log('client').outcome(
      'negative',
      Socket.connect(address, port, timeout: const Duration(seconds: -1)),
    );
  });

  conforms('refused before the limit passes', (log) async {
    final (address, port) = await _deadEnd();
    await log('client').outcome(
      'connect',
      Socket.connect(address, port, timeout: const Duration(seconds: 30)),
    );
  });

  conforms('Future.timeout works as well, and what comes later troubles nobody', (log) async {
    final (address, port) = await _blackHole(log);
    final task = await Socket.startConnect(address, port);
    await log('client').outcome('connect', task.socket.timeout(const Duration(milliseconds: 50)));
    task.cancel();
    await turns(10);
  });

  conforms('twenty limits at once', (log) async {
    final (address, port) = await _blackHole(log);
    final outcomes = await Future.wait([
      for (var i = 0; i < 20; i++)
        Socket.connect(address, port, timeout: Duration(milliseconds: 10 * i))
            .then<String>((_) => 'connected', onError: (Object error) => describe(error)),
    ]);
    log('client')('${outcomes.toSet()}');
  });
}

void tasks() {
  conforms('a task connects', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final task = await Socket.startConnect(server.address, server.port);
    final client = log.own(await task.socket);
    client.write('hello');
    unawaited(client.close());
    await log('server').watch(log.own(await accepted)).done;
  });

  conforms('a task by name', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final task = await Socket.startConnect('localhost', server.port);
    log.own(await task.socket).destroy();
    await log('server').watch(log.own(await accepted)).done;
  });

  conforms('a task is refused', (log) async {
    final (address, port) = await _deadEnd();
    final task = await Socket.startConnect(address, port);
    await log('client').outcome('socket', task.socket);
    log('client').tries('cancel', () {
      task.cancel();
      return null;
    });
  });

  conforms('a task is cancelled', (log) async {
    final (address, port) = await _blackHole(log);
    final task = await Socket.startConnect(address, port);
    final outcome = log('client').outcome('socket', task.socket);
    await turns(5);
    task.cancel();
    await outcome;
    task.cancel();
  }, expected: ['client: socket fails: SocketException']);

  conforms('a task is cancelled at once', (log) async {
    final (address, port) = await _blackHole(log);
    final task = await Socket.startConnect(address, port);
    task.cancel();
    await log('client').outcome('socket', task.socket);
  });

  conforms('a task is cancelled too late: the connection stays', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final task = await Socket.startConnect(server.address, server.port);
    final client = log.own(await task.socket);
    task.cancel();
    client.write('hello');
    unawaited(client.close());
    await log('server').watch(log.own(await accepted)).done;
  });

  conforms('a source address for a task', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final task = await Socket.startConnect(server.address, server.port, sourceAddress: '127.0.0.7');
    log.own(await task.socket);
    log('server')(describe(log.own(await accepted).remoteAddress));
  });
}

/// What the getters say; for ports only whether it is one.
void _describeGetters(Witness witness, Socket socket) {
  for (final (name, getter) in <(String, Object Function())>[
    ('port', () => socket.port),
    ('remotePort', () => socket.remotePort),
    ('address', () => socket.address),
    ('remoteAddress', () => socket.remoteAddress),
  ]) {
    witness.tries(name, () {
      final value = getter();
      return value is int ? value > 0 : value;
    });
  }
}

void getters() {
  conforms('what it is called while open', (log) async {
    final (client, server) = await log.pair();
    _describeGetters(log('client'), client);
    _describeGetters(log('server'), server);
  });

  conforms('what it is called after close', (log) async {
    final (client, server) = await log.pair();
    server.listen((_) {});
    await client.close();
    _describeGetters(log('client'), client);
  });

  conforms('what it is called after the end of the peer', (log) async {
    final (client, server) = await log.pair();
    unawaited(server.close());
    await log('in').watch(client).done;
    _describeGetters(log('client'), client);
  });

  conforms(
    'what it is called after destroy',
    (log) async {
      final (client, _) = await log.pair();
      _describeGetters(log('before'), client);
      client.destroy();
      _describeGetters(log('behind'), client);
    },
  );

  conforms('what it is called after destroy, without having asked before', (log) async {
    final (client, _) = await log.pair();
    client.destroy();
    _describeGetters(log('client'), client);
  });

  conforms('what it is called after a reset, if somebody asked before', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    _describeGetters(log('before'), socket);
    await peer.reset();
    await stream.done;
    // Whether the system still knows the peer is up to the system.
    log('behind').tries('port', () => socket.port > 0);
    log('behind').tries('address', () => socket.address);
  });

  conforms(
    'what it is called after both ends, if nobody asked before',
    (log) async {
      final (client, server) = await log.pair();
      final stream = log('in').watch(client);
      server.listen((_) {});
      unawaited(server.close());
      await stream.done;
      await client.close();
      _describeGetters(log('client'), client);
    },
    expected: [
      'client: port: true',
      'client: remotePort throws SocketException',
      'client: address: IPv4 127.0.0.1',
      'client: remoteAddress throws SocketException',
      'in: done',
    ],
    differs: 'the daemon has forgotten the connection',
    oche: [
      'client: port throws SocketException',
      'client: remotePort throws SocketException',
      'client: address throws SocketException',
      'client: remoteAddress throws SocketException',
      'in: done',
    ],
  );

  conforms(
    'what it is called this end of a connection that was given a source address',
    (log) async {
      final server = await log.bind(address: InternetAddress.anyIPv4);
      final accepted = server.first;
      final client = log.own(
        await Socket.connect('127.0.0.1', server.port, sourceAddress: '127.0.0.9'),
      );
      log('client')(describe(client.address));
      log('server')(describe(log.own(await accepted).address));
    },
    expected: ['client: IPv4 127.0.0.1', 'server: IPv4 0.0.0.0'],
    differs: 'dart:io tells where it was asked to connect, and to listen',
    oche: ['client: IPv4 127.0.0.9', 'server: IPv4 127.0.0.1'],
  );
}

const _levelIp = 0, _levelSocket = 1, _levelTcp = 6; // of Linux
const _noDelay = 1, _keepAlive = 9;

int _get(Socket socket, int level, int option) =>
    socket.getRawOption(RawSocketOption(level, option, Uint8List(4))).buffer.asInt32List().single;

void options() {
  conforms('setOption', (log) async {
    final (client, server) = await log.pair();
    for (final (name, socket) in [('client', client), ('server', server)]) {
      final notes = log(name);
      notes.tries('on', () => socket.setOption(SocketOption.tcpNoDelay, true));
      notes.tries('off', () => socket.setOption(SocketOption.tcpNoDelay, false));
    }
    client.write('still works');
    await client.close();
    await log('in').watch(server).done;
  });

  conforms('TCP_NODELAY and SO_KEEPALIVE can be read', (log) async {
    final (client, _) = await log.pair();
    log('client')('${_get(client, _levelTcp, _noDelay)} ${_get(client, _levelSocket, _keepAlive)}');
  });

  conforms('TCP_NODELAY and SO_KEEPALIVE can be written', (log) async {
    final (client, _) = await log.pair();
    for (final value in [true, false, true]) {
      client.setOption(SocketOption.tcpNoDelay, value);
      await eventually(() => _get(client, _levelTcp, _noDelay) == (value ? 1 : 0), 'TCP_NODELAY');
      client.setRawOption(RawSocketOption.fromBool(_levelTcp, _noDelay, !value));
      await eventually(() => _get(client, _levelTcp, _noDelay) == (value ? 0 : 1), 'TCP_NODELAY');
      client.setRawOption(RawSocketOption.fromInt(_levelSocket, _keepAlive, value ? 1 : 0));
      await eventually(() => _get(client, _levelSocket, _keepAlive) == (value ? 1 : 0), 'SO_KEEPALIVE');
    }
  });

  conforms('options are in force as soon as they are set', (log) async {
    final (client, _) = await log.pair();
    client.setOption(SocketOption.tcpNoDelay, true);
    log('client')('${_get(client, _levelTcp, _noDelay)}');
    client.setRawOption(RawSocketOption.fromBool(_levelSocket, _keepAlive, true));
    log('client')('${_get(client, _levelSocket, _keepAlive)}');
  });

  conforms('options after destroy', (log) async {
    final (client, _) = await log.pair();
    client.destroy();
    log('client').tries('setOption', () => client.setOption(SocketOption.tcpNoDelay, true));
    log('client').tries(
      'getRawOption',
      () => client.getRawOption(RawSocketOption(_levelTcp, _noDelay, Uint8List(4))),
    );
    log('client').tries('setRawOption', () {
      client.setRawOption(RawSocketOption.fromBool(_levelTcp, _noDelay, true));
      return null;
    });
  });

  conforms(
    'options after the end of the peer',
    (log) async {
      final (client, server) = await log.pair();
      unawaited(server.close());
      await log('in').watch(client).done;
      log('client').tries('setOption', () => client.setOption(SocketOption.tcpNoDelay, true));
    },
  );

  conforms(
    'other options',
    (log) async {
      final (client, _) = await log.pair();
      for (final (name, level, option) in [
        ('SO_SNDBUF', _levelSocket, 7),
        ('SO_RCVBUF', _levelSocket, 8),
        ('IP_TOS', _levelIp, 1),
        ('TCP_KEEPIDLE', _levelTcp, 4),
      ]) {
        log('client').tries('get $name', () => _get(client, level, option) >= 0);
        log('client').tries('set $name', () {
          client.setRawOption(RawSocketOption.fromInt(level, option, 16));
          return null;
        });
      }
    },
    expected: [
      for (final name in ['SO_SNDBUF', 'SO_RCVBUF', 'IP_TOS', 'TCP_KEEPIDLE']) ...[
        'client: get $name: true',
        'client: set $name: null',
      ],
    ],
    differs: 'the daemon knows two options',
    oche: [
      for (final name in ['SO_SNDBUF', 'SO_RCVBUF', 'IP_TOS', 'TCP_KEEPIDLE']) ...[
        'client: get $name throws OSError(92)',
        'client: set $name throws OSError(92)',
      ],
    ],
  );

  conforms(
    'options that do not exist',
    (log) async {
      final (client, _) = await log.pair();
      log('client').tries('get', () => _get(client, _levelTcp, 12345));
      log('client').tries('set', () {
        client.setRawOption(RawSocketOption.fromInt(_levelTcp, 12345, 1));
        return null;
      });
    },
  );
}
