/// The options of a socket.
library;

import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

import 'package:oche/io.dart';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  options();
  return runTests(arguments);
}

const _levelIp = 0, _levelSocket = 1, _levelTcp = 6; // of Linux
const _noDelay = 1, _keepAlive = 9, _keepIdle = 4, _linger = 13;

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

  conforms('options after both ends', (log) async {
    final (client, server) = await log.pair();
    final stream = log('in').watch(client);
    server.listen((_) {});
    await server.close();
    await stream.done;
    await client.close();
    await turns(10);
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

  conforms('other options of the connection', (log) async {
    final (client, _) = await log.pair();
    for (final (name, level, option, value) in [
      ('SO_SNDBUF', _levelSocket, 7, 10000),
      ('SO_RCVBUF', _levelSocket, 8, 10000),
      ('IP_TOS', _levelIp, 1, 16),
      ('TCP_KEEPIDLE', _levelTcp, 4, 77),
      ('TCP_KEEPINTVL', _levelTcp, 5, 7),
      ('TCP_KEEPCNT', _levelTcp, 6, 3),
      ('TCP_USER_TIMEOUT', _levelTcp, 18, 5000),
    ]) {
      final notes = log(name);
      notes.tries('get', () => _get(client, level, option) >= 0);
      notes.tries('set', () {
        client.setRawOption(RawSocketOption.fromInt(level, option, value));
        return null;
      });
      notes.tries('get', () => _get(client, level, option));
    }
    log('SO_LINGER').tries('get', () => client.getRawOption(RawSocketOption(_levelSocket, _linger, Uint8List(8))));
  });

  conforms('values of other lengths', (log) async {
    if (isEmulated) throw Skip('QEMU gives dart:io other bytes of values that are cut off');
    final (client, _) = await log.pair();
    for (final (level, option) in [(_levelTcp, _keepIdle), (_levelTcp, _noDelay)]) {
      for (final length in [0, 1, 3, 5, 100]) {
        final notes = log('$option with $length');
        notes.tries('get', () => client.getRawOption(RawSocketOption(level, option, Uint8List(length))));
        notes.tries('set', () {
          client.setRawOption(RawSocketOption(level, option, Uint8List(length)..fillRange(0, length.clamp(0, 1), 1)));
          return null;
        });
      }
    }
  });

  conforms('values that the system does not take', (log) async {
    final (client, _) = await log.pair();
    log('client').tries('set', () {
      client.setRawOption(RawSocketOption.fromInt(_levelTcp, _keepIdle, 0));
      return null;
    });
    log('client')('${_get(client, _levelTcp, _keepIdle)}');
  });

  conforms(
    'whether it lingers is for those to say who end it',
    (log) async {
      final (client, _) = await log.pair();
      log('client').tries('set', () {
        client.setRawOption(RawSocketOption(_levelSocket, _linger, Uint8List.fromList([1, 0, 0, 0, 5, 0, 0, 0])));
        return null;
      });
    },
    expected: ['client: set: null'],
    differs: 'the daemon must not wait when it closes',
    oche: ['client: set throws OSError(95)'],
  );

  test('an option that is refused is a SocketException as well as an OSError', () async {
    final server = await ServerSocket.bind(InternetAddress.loopbackIPv4, 0);
    await runWithOche(() async {
      final client = await Socket.connect(server.address, server.port);
      try {
        _get(client, _levelTcp, 12345);
        throw Failure('it is read');
      } on SocketException catch (error) {
        expectTrue(error is OSError, '$error is an OSError');
        expect(error.osError?.errorCode, 92, 'errno');
      }
      client.destroy();
    });
    await server.close();
  });

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
