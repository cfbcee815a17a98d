/// Test cases with sentences for names, and the lines that `run` and `tools/test` read:
///
///     RUN name, then PASS name, FAIL name: why, or SKIP name: why
library;

import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

import 'package:oche/src/bindings.dart';
import 'package:oche/src/library.dart';

import 'client.dart';

/// No test waits for a fixed time; this ends one that hangs.
const _patience = Duration(seconds: 20);

final _tests = <String, Future<void> Function()>{};

class Failure implements Exception {
  final String message;

  Failure(this.message);

  @override
  String toString() => message;
}

class Skip implements Exception {
  final String why;

  Skip(this.why);
}

void test(String name, Future<void> Function() body) {
  assert(!_tests.containsKey(name));
  _tests[name] = body;
}

/// A test with a session of its own.
void testClient(String name, Future<void> Function(Client client) body) => test(name, () async {
  final client = Client.open();
  try {
    await body(client);
  } on Skip {
    await client.destroy();
    rethrow;
  }
  await client.destroy();
});

/// Runs the tests whose names contain one of the arguments, or all. The exit code is 1 if one
/// fails.
Future<void> runTests(List<String> arguments) async {
  findLibrary(); // what a test calls may be declared in the bindings only
  var failed = false;
  for (final MapEntry(key: name, value: body) in _tests.entries) {
    if (arguments.isNotEmpty && !arguments.any(name.contains)) continue;
    print('RUN $name');
    try {
      await _run(body);
      print('PASS $name');
    } on Skip catch (skip) {
      print('SKIP $name: ${skip.why}');
    } catch (error, stack) {
      print(stack);
      print('FAIL $name: ${'$error'.replaceAll('\n', ' ')}');
      failed = true;
    }
    tcp_destroy(); // what a failure has left
  }
  // Otherwise the isolate ends by itself, or something has been left open.
  if (failed) exit(1);
}

/// Errors of futures that the test does not wait for are its failures, too.
Future<void> _run(Future<void> Function() body) {
  final done = Completer<void>();
  void fail(Object error, StackTrace stack) {
    if (!done.isCompleted) done.completeError(error, stack);
  }

  runZonedGuarded(() async {
    await body();
    if (!done.isCompleted) done.complete();
  }, fail);
  return done.future.timeout(
    _patience,
    onTimeout: () => throw Failure('did not end within ${_patience.inSeconds} seconds'),
  );
}

void expect(Object? actual, Object? expected, [String what = 'the value']) {
  if (!_equal(actual, expected)) throw Failure('$what is $actual, not $expected');
}

void expectTrue(bool condition, String what) {
  if (!condition) throw Failure('not so: $what');
}

/// Comes back when the condition holds, which takes the other side a moment.
Future<void> eventually(Future<bool> Function() condition, String what) async {
  final watch = Stopwatch()..start();
  while (!await condition()) {
    if (watch.elapsed > _patience ~/ 2) throw Failure('never so: $what');
    await Future<void>.delayed(const Duration(milliseconds: 2));
  }
}

/// The future fails with this code, in a completion, and with [osError] if that is given.
Future<void> expectFailure(Future<Object?> future, int code, {int? osError}) async {
  final exception = await _exceptionOf(future);
  expect(exception.code, code, 'the code');
  expect(exception.refused, false, 'refusal without a completion');
  if (osError != null) expect(exception.osError, osError, 'errno');
}

/// The call itself returns this code, and nothing completes.
Future<void> expectRefusal(Future<Object?> future, int code) async {
  final exception = await _exceptionOf(future);
  expect(exception.code, code, 'the code');
  expect(exception.refused, true, 'refusal without a completion');
}

Future<TcpException> _exceptionOf(Future<Object?> future) async {
  final Object? value;
  try {
    value = await future;
  } on TcpException catch (exception) {
    return exception;
  }
  throw Failure('no failure, but ${value is Uint8List ? '${value.length} bytes' : value}');
}

bool _equal(Object? a, Object? b) {
  if (a is! List || b is! List) return a == b;
  if (a.length != b.length) return false;
  for (var i = 0; i < a.length; i++) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

/// Bytes without a short period.
Uint8List pattern(int length, [int seed = 1]) {
  final bytes = Uint8List(length);
  var state = seed;
  for (var i = 0; i < length; i++) {
    state = (state * 75 + 74) % 65537;
    bytes[i] = state + (i >> 16); // for the state comes back after 65536 steps
  }
  return bytes;
}

/// Adler-32, RFC 1950.
int checksum(Uint8List bytes) {
  const modulus = 65521;
  var a = 1, b = 0;
  for (final byte in bytes) {
    a += byte;
    if (a >= modulus) a -= modulus;
    b += a;
    if (b >= modulus) b -= modulus;
  }
  return b << 16 | a;
}
