/// Connecting: names and addresses, and what goes wrong.
library;

import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  hosts();
  failures();
  refusals();
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
    final (address, port) = await deadEnd();
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

void failures() {
  conforms('refused', (log) async {
    final (address, port) = await deadEnd();
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
    final (_, port) = await deadEnd();
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

  conforms('a source address of another family', (log) async {
    final server = await log.bind();
    await log('client').outcome(
      'connect',
      Socket.connect(server.address, server.port, sourceAddress: '::1'),
    );
  }, expected: ['client: connect fails: SocketException(errno 97)']);

  // What people look for in logs, and programs in texts.
  conforms('what the failures of a connect say', (log) async {
    final (address, port) = await deadEnd();
    final (_, busy) = await log.blackHole();
    Future<void> note(String name, Future<Socket> connect) async {
      try {
        log.own(await connect);
        log(name)('connects');
      } on SocketException catch (error) {
        // dart:io tells the port of this end where the system has refused.
        final text = '$error'.replaceAll(address.address, 'ADDRESS');
        log(name)(text.replaceAllMapped(RegExp(r'(port:|port =) \d+'), (match) => '${match[1]} PORT'));
      }
    }

    await note('address', Socket.connect(address, port));
    await note('name', Socket.connect('localhost', port));
    await note('source', Socket.connect(address, port, sourceAddress: '192.0.2.211'));
    const limit = Duration(milliseconds: 1);
    await note('late', Socket.connect('127.0.0.1', busy, timeout: limit));
    await note('late by name', Socket.connect('localhost', busy, timeout: limit));
    final task = await Socket.startConnect('localhost', busy);
    final cancelled = note('cancelled', task.socket);
    task.cancel();
    await cancelled;
  }, expected: [
    'address: SocketException: Connection refused (OS Error: Connection refused, errno = 111), '
        'address = ADDRESS, port = PORT',
    'cancelled: SocketException: Connection attempt cancelled, host: localhost, port: PORT',
    'late: SocketException: Connection timed out, host: 127.0.0.1, port: PORT',
    'late by name: SocketException: Connection timed out, host: localhost, port: PORT',
    'name: SocketException: Connection refused (OS Error: Connection refused, errno = 111), '
        'address = localhost, port = PORT',
    'source: SocketException: Bind failed (OS Error: Cannot assign requested address, errno = 99), '
        'address = 192.0.2.211',
  ]);

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
    final (address, port) = await deadEnd();
    final connect = Socket.connect(address, port)..ignore();
    await turns(20);
    await log('client').outcome('connect', connect);
  });

  conforms('many that are refused', (log) async {
    final (address, port) = await deadEnd();
    final outcomes = await Future.wait([
      for (var i = 0; i < 100; i++)
        Socket.connect(address, port).then<String>((_) => 'connected', onError: (Object error) => describe(error)),
    ]);
    log('client')('${outcomes.toSet()}');
  });
}

void refusals() {
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
