/// The options of a socket.
library;

import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  options();
  return runTests(arguments);
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
