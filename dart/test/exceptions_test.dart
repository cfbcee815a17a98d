/// What the exceptions are, and what they tell.
library;

import 'dart:io';

import 'package:oche/oche.dart';

import 'support/pairs.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) {
  test('a switch over all exceptions needs no default', () async {
    final (address, port) = await deadEnd();
    final failure = await expectFails<OcheException>(Connection.connect(address, port));
    expect(nameOf(failure), 'ConnectFailed');
    expect(nameOf(LibraryNotFoundException(['nowhere'])), 'LibraryNotFound');
  });

  test('code that catches a SocketException catches them', () async {
    final (address, port) = await deadEnd();
    try {
      await Connection.connect(address, port);
      throw Failure('connected');
    } on SocketException catch (exception) {
      expect(exception.osError?.errorCode, econnrefused, 'errno');
      expect(exception.address, address, 'the address');
      expect(exception.port, port, 'the port');
      expectTrue(exception.message.isNotEmpty, 'there is a message');
    }
  });

  test('a failure tells what was being done, with whom, and what the system said', () async {
    final (address, port) = await deadEnd();
    final failure = await expectFails<ConnectFailedException>(Connection.connect(address, port));
    expect(failure.code, -3, 'the code');
    expect(failure.operation, 'connect', 'the operation');
    expect(failure.osError?.message, 'Connection refused', 'what the system said');
    expect(
        '$failure',
        'SocketException: Connection refused '
            '(OS Error: Connection refused, errno = 111), address = ${address.address}, port = $port');
  });

  test('a connect that fails for this end names this end', () async {
    final (address, port) = await deadEnd();
    final source = InternetAddress('192.0.2.211');
    final absent = await expectFails<BindFailedException>(
      Connection.connect(address, port, sourceAddress: source, sourcePort: 4711),
    );
    expect(absent.operation, 'connect', 'the operation');
    expect(absent.address, source, 'the address');
    expect(absent.port, 4711, 'the port');
    expectTrue('$absent'.contains('Cannot assign requested address'), '"$absent" says why');

    final other = InternetAddress.loopbackIPv6;
    final family = await expectFails<InvalidAddressException>(Connection.connect(address, port, sourceAddress: other));
    expect(family.address, other, 'the address');
    expect(family.port, null, 'the port');
    expect(family.osError?.errorCode, 97, 'errno');
  });

  test('what the system has not refused has no OSError', () async {
    final pair = await Pair.open();
    await pair.connected.close();
    final failure = await expectFails<ClosedException>(pair.connected.write([1]));
    expect(failure.osError, null, 'the OSError');
    expectTrue('$failure'.startsWith('ClosedException: write: '), 'so begins "$failure"');
    await pair.close();
  });

  test('failures of a connection name its other end', () async {
    final mixed = await Mixed.open();
    final port = mixed.connection.remotePort;
    final read = expectFails<ReadFailedException>(mixed.connection.read());
    await mixed.peer.reset();
    final failure = await read;
    expect(failure.operation, 'read', 'the operation');
    expect(failure.address, loopback, 'the address');
    expect(failure.port, port, 'the port');
    expect(failure.osError?.errorCode, econnreset, 'errno');
    mixed.connection.destroy();
  });

  test('failures of a listener name its own end', () async {
    final listener = await Listener.bind(loopback, 0);
    final again = await expectFails<BindFailedException>(Listener.bind(loopback, listener.port));
    expect(again.operation, 'listen', 'the operation');
    expect(again.address, loopback, 'the address');
    expect(again.port, listener.port, 'the port');
    expect(again.osError?.errorCode, eaddrinuse, 'errno');
    final accept = expectFails<ClosedException>(listener.accept());
    await listener.close();
    expect((await accept).operation, 'accept', 'the operation');
    expect((await accept).port, listener.port, 'the port');
  });

  test('a library that is not to be found tells where it was looked for', () async {
    final failure = LibraryNotFoundException(['here', 'there']);
    expect(failure.code, 0, 'the code');
    expect(failure.operation, 'open', 'the operation');
    expect(failure.tried, ['here', 'there'], 'what was tried');
    for (final word in ['OCHE_LIBRARY', 'useOcheLibrary()', '\n  here', '\n  there']) {
      expectTrue('$failure'.contains(word), '"$failure" contains "$word"');
    }
  });

  return runTests(arguments);
}

/// Compiles only as long as there is no other class.
String nameOf(OcheException exception) => switch (exception) {
      InvalidHandleException() => 'InvalidHandle',
      InvalidAddressException() => 'InvalidAddress',
      ConnectFailedException() => 'ConnectFailed',
      BindFailedException() => 'BindFailed',
      ListenFailedException() => 'ListenFailed',
      AcceptFailedException() => 'AcceptFailed',
      ReadFailedException() => 'ReadFailed',
      WriteFailedException() => 'WriteFailed',
      ClosedException() => 'Closed',
      SocketOptionException() => 'SocketOption',
      NotInitializedException() => 'NotInitialized',
      OutOfMemoryException() => 'OutOfMemory',
      InvalidArgumentException() => 'InvalidArgument',
      DaemonLostException() => 'DaemonLost',
      DaemonUnavailableException() => 'DaemonUnavailable',
      TimedOutException() => 'TimedOut',
      QuotaException() => 'Quota',
      ProtocolException() => 'Protocol',
      UnknownErrorException() => 'UnknownError',
      LibraryNotFoundException() => 'LibraryNotFound',
    };
