/// What a socket says of its addresses and ports, in every phase of its life.
library;

import 'dart:async';
import 'dart:io';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  names();
  return runTests(arguments);
}

/// What the getters say; for ports only whether it is one.
void _noteNames(Witness witness, Socket socket) {
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

/// An address of this machine that needs a scope id, or null.
Future<InternetAddress?> _linkLocal() async {
  final interfaces = await NetworkInterface.list(includeLinkLocal: true, type: InternetAddressType.IPv6);
  return interfaces.expand((interface) => interface.addresses).where((address) => address.isLinkLocal).firstOrNull;
}

void names() {
  conforms('a link-local address keeps its interface', (log) async {
    if (isEmulated) throw Skip('QEMU does not let dart:io bind such an address');
    final address = await _linkLocal() ?? (throw Skip('this machine has no link-local address'));
    final server = await log.bind(address: address);
    final accepted = server.first;
    final client = log.own(await Socket.connect(address, server.port, sourceAddress: address));
    final taken = log.own(await accepted);
    for (final (name, seen) in [
      ('server', server.address),
      ('client', client.address),
      ("client's peer", client.remoteAddress),
      ('accepted', taken.address),
      ("accepted's peer", taken.remoteAddress),
    ]) {
      log('addresses')('$name: ${seen.address}');
    }
  });

  conforms('what it is called while open', (log) async {
    final (client, server) = await log.pair();
    _noteNames(log('client'), client);
    _noteNames(log('server'), server);
  });

  conforms('what it is called after close', (log) async {
    final (client, server) = await log.pair();
    server.listen((_) {});
    await client.close();
    _noteNames(log('client'), client);
  });

  conforms('what it is called after the end of the peer', (log) async {
    final (client, server) = await log.pair();
    unawaited(server.close());
    await log('in').watch(client).done;
    _noteNames(log('client'), client);
  });

  conforms(
    'what it is called after destroy',
    (log) async {
      final (client, _) = await log.pair();
      _noteNames(log('before'), client);
      client.destroy();
      _noteNames(log('behind'), client);
    },
  );

  conforms('what it is called after destroy, without having asked before', (log) async {
    final (client, _) = await log.pair();
    client.destroy();
    _noteNames(log('client'), client);
  });

  conforms('what it is called after a reset, if somebody asked before', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final stream = log('in').watch(socket);
    _noteNames(log('before'), socket);
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
      _noteNames(log('client'), client);
    },
    expected: [
      'client: port: true',
      'client: remotePort throws SocketException',
      'client: address: IPv4 127.0.0.1',
      'client: remoteAddress throws SocketException',
      'in: done',
    ],
  );

  conforms('the name of the host that was asked for stays with the address', (log) async {
    for (final host in ['localhost', '127.0.0.1']) {
      final server = await ServerSocket.bind(host, 0);
      final accepted = server.first;
      final client = log.own(await Socket.connect(host, server.port));
      final peer = log.own(await accepted);
      log('server')(server.address.host);
      log('client')('${client.address.host}, connected to ${client.remoteAddress.host}');
      log('accepted')('${peer.address.host}, connected to ${peer.remoteAddress.host}');
    }
    final server = await HttpServer.bind('localhost', 0);
    server.listen((request) {
      log('http')('${request.requestedUri.replace(port: 80)}');
      request.response.close();
    });
    log('http')(server.address.host);
    final socket = log.own(await Socket.connect(server.address, server.port));
    socket.write('GET / HTTP/1.0\r\n\r\n'); // without a Host
    await socket.drain<void>();
    await server.close(force: true);
  });

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
