/// Dialing a host whose addresses are still looked up.
library;

import 'dart:async';
import 'dart:io';

import 'package:oche/oche.dart';
import 'package:oche/src/io/dialing.dart';
import 'package:oche/src/library.dart';

import 'support/pairs.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) {
  findLibrary(); // exceptions take their texts from there

  test('a dialing that is given up during the lookup fails at once, and tries nothing', () async {
    final addresses = Completer<List<InternetAddress>>();
    final dialing = Dialing(addresses.future, 'host', 9, _nobody)..cancel();
    final failure = await expectFails<ClosedException>(dialing.connection);
    expect(failure.port, 9, 'the port');
    addresses.complete([loopback]);
    await turns();
  });

  test('the time for a dialing may be over during the lookup, whose failure then troubles nobody', () async {
    final addresses = Completer<List<InternetAddress>>();
    final dialing = Dialing(addresses.future, 'host', 9, _nobody)..timeOut();
    await expectFails<TimedOutException>(dialing.connection);
    addresses.completeError(const SocketException('no such host'));
    await turns();
  });

  test('a lookup that fails is the failure of the dialing', () async {
    final dialing = Dialing(Future.error(const SocketException('no such host')), 'host', 9, _nobody);
    final failure = await expectFails<SocketException>(dialing.connection);
    expect(failure.message, 'no such host', 'the message');
  });

  return runTests(arguments);
}

ConnectionAttempt _nobody(InternetAddress address) => throw Failure('$address is tried');
