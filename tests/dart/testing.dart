/// What the tests of the contract need besides what those of the package have: sessions, and codes.
library;

import 'dart:async';
import 'dart:typed_data';

import 'package:oche/src/bindings.dart';
import 'package:oche/src/library.dart';

import '../../dart/test/support/testing.dart' as shared;
import 'client.dart';

export '../../dart/test/support/testing.dart' hide runTests;

/// A test with a session of its own.
void testClient(String name, Future<void> Function(Client client) body) => shared.test(name, () async {
  final client = Client.open();
  try {
    await body(client);
  } on shared.Skip {
    await client.destroy();
    rethrow;
  }
  await client.destroy();
});

/// Runs the tests whose names contain one of the arguments, or all. The exit code is 1 if one
/// fails.
Future<void> runTests(List<String> arguments) {
  findLibrary(); // what a test calls may be declared in the bindings only
  return shared.runTests(arguments, after: tcp_destroy); // of what a failure has left
}

/// The future fails with this code, in a completion, and with [osError] if that is given.
Future<void> expectFailure(Future<Object?> future, int code, {int? osError}) async {
  final exception = await _exceptionOf(future);
  shared.expect(exception.code, code, 'the code');
  shared.expect(exception.refused, false, 'refusal without a completion');
  if (osError != null) shared.expect(exception.osError, osError, 'errno');
}

/// The call itself returns this code, and nothing completes.
Future<void> expectRefusal(Future<Object?> future, int code) async {
  final exception = await _exceptionOf(future);
  shared.expect(exception.code, code, 'the code');
  shared.expect(exception.refused, true, 'refusal without a completion');
}

Future<TcpException> _exceptionOf(Future<Object?> future) async {
  final Object? value;
  try {
    value = await future;
  } on TcpException catch (exception) {
    return exception;
  }
  throw shared.Failure('no failure, but ${value is Uint8List ? '${value.length} bytes' : value}');
}
