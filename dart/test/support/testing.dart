/// Test cases with sentences for names, and the lines that the runner reads:
///
///     RUN name, then PASS name, FAIL name: why, or SKIP name: why
library;

import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

/// No test waits for a fixed time; this ends one that hangs.
const patience = Duration(seconds: 20);

/// Whether this VM runs in QEMU, several times slower, and where some calls of the system come out differently.
final isEmulated = Platform.environment['OCHE_EMULATE'] == '1';

final _tests = <String, (Future<void> Function(), Duration)>{};

class Failure implements Exception {
  Failure(this.message);

  final String message;

  @override
  String toString() => message;
}

class Skip implements Exception {
  Skip(this.why);

  final String why;
}

void test(String name, Future<void> Function() body, {Duration limit = patience}) {
  if (_tests.containsKey(name)) throw ArgumentError('two tests with one name: $name');
  _tests[name] = (body, limit);
}

/// Runs the tests whose names contain one of the arguments, or all, and [after] behind each. The exit code is 1 if one
/// fails.
Future<void> runTests(List<String> arguments, {void Function()? after}) async {
  var failed = false;
  for (final MapEntry(key: name, value: (body, limit)) in _tests.entries) {
    if (arguments.isNotEmpty && !arguments.any(name.contains)) continue;
    print('RUN $name');
    try {
      await _run(body, isEmulated ? limit * 5 : limit);
      print('PASS $name');
    } on Skip catch (skip) {
      print('SKIP $name: ${skip.why}');
    } catch (error, stack) {
      print(stack);
      print('FAIL $name: ${'$error'.replaceAll('\n', ' ')}');
      failed = true;
    }
    after?.call();
  }
  // Otherwise the isolate ends by itself, or something has been left open.
  if (failed) exit(1);
}

/// Errors of futures that the test does not wait for are its failures, too.
Future<void> _run(Future<void> Function() body, Duration limit) {
  final done = Completer<void>();
  void fail(Object error, StackTrace stack) {
    if (!done.isCompleted) done.completeError(error, stack);
  }

  runZonedGuarded(() async {
    await body();
    if (!done.isCompleted) done.complete();
  }, fail);
  return done.future.timeout(
    limit,
    onTimeout: () => throw Failure('did not end within ${limit.inSeconds} seconds'),
  );
}

void expect(Object? actual, Object? expected, [String what = 'the value']) {
  if (!_equal(actual, expected)) throw Failure('$what is $actual, not $expected');
}

void expectTrue(bool condition, String what) {
  if (!condition) throw Failure('not so: $what');
}

/// Comes back when the condition holds, which takes the other side a moment.
Future<void> eventually(FutureOr<bool> Function() condition, String what) async {
  final watch = Stopwatch()..start();
  while (!await condition()) {
    if (watch.elapsed > patience ~/ 2) throw Failure('never so: $what');
    await Future<void>.delayed(const Duration(milliseconds: 2));
  }
}

/// Lets what is ready to happen in this isolate happen.
Future<void> turns([int count = 5]) async {
  for (var i = 0; i < count; i++) {
    await Future<void>.delayed(Duration.zero);
  }
}

/// A directory that is gone at the end.
Future<T> inDirectory<T>(Future<T> Function(String path) body) async {
  final directory = await Directory.systemTemp.createTemp('oche-');
  try {
    return await body(directory.path);
  } finally {
    await directory.delete(recursive: true);
  }
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

/// Adler-32, RFC 1950, of bytes behind others whose sum is [start].
int checksum(List<int> bytes, [int start = 1]) {
  const modulus = 65521;
  var a = start & 0xffff, b = start >> 16;
  for (final byte in bytes) {
    a += byte;
    if (a >= modulus) a -= modulus;
    b += a;
    if (b >= modulus) b -= modulus;
  }
  return b << 16 | a;
}

/// Adds up what a stream brings.
final class Sum {
  int bytes = 0;
  int _sum = 1;

  void add(List<int> data) {
    bytes += data.length;
    _sum = checksum(data, _sum);
  }

  @override
  String toString() => '$bytes bytes, Adler-32 ${_sum.toRadixString(16)}';
}

/// How many bytes these are, and their [checksum].
String summary(List<int> bytes) => '${Sum()..add(bytes)}';
