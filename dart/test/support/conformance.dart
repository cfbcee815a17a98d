/// The same code over dart:io's own sockets and over oche, and a comparison of what it saw.
///
/// A scenario uses the API of dart:io and nothing else. It notes what it sees in a [Log], where everyone who sees
/// something has a part of its own: the order within a part matters, the order between parts does not. What the system
/// decides by chance is left out: ports, and into which pieces data is cut.
///
/// From the environment, for those who write scenarios:
///     CONFORMANCE_SIDES  "dart:io" or "oche": only one of them, against what is expected
///     CONFORMANCE_RUNS   how often each scenario runs; all runs have to see the same
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'package:oche/io.dart';

import 'testing.dart';

export 'raw_peer.dart';
export 'testing.dart';

final _sides = Platform.environment['CONFORMANCE_SIDES'] ?? 'both';
final _runs = int.parse(Platform.environment['CONFORMANCE_RUNS'] ?? '1');

/// A scenario that hangs on one side still tells what it saw there.
const _sideMay = Duration(seconds: 9);

/// Adds a test that [scenario] sees the same on both sides, and that it is [expected], where that is given.
///
/// Where oche is different on purpose, [differs] says why, and [oche] is what is seen there.
void conforms(
  String name,
  Future<void> Function(Log log) scenario, {
  List<String>? expected,
  String? differs,
  List<String>? oche,
}) {
  if ((differs == null) != (oche == null)) throw ArgumentError('$name: a difference has a reason');
  test(name, () async {
    for (var run = 0; run < _runs; run++) {
      final original = _sides == 'oche' ? null : await _observe(scenario);
      final ours = _sides == 'dart:io' ? null : await runWithOche(() => _observe(scenario));

      if (original != null && expected != null) _compare('dart:io', original, 'expected', expected);
      if (oche != null) {
        if (ours != null) _compare('oche', ours, 'expected of oche', oche);
        if (original != null && _difference(original, oche) == null) {
          throw Failure('dart:io and oche do not differ any more');
        }
      } else if (ours != null) {
        final model = original ?? expected;
        if (model != null) _compare('oche', ours, original == null ? 'expected' : 'dart:io', model);
      }
      _unstable(name, original, _seenOriginal);
      _unstable('$name, on oche', ours, _seenOurs);
    }
  });
}

final _seenOriginal = <String, List<String>>{};
final _seenOurs = <String, List<String>>{};

void _unstable(String name, List<String>? now, Map<String, List<String>> seen) {
  if (now == null) return;
  if (seen[name] case final before?) {
    _compare('this run of $name', now, 'an earlier one', before);
  }
  seen[name] = now;
}

Future<List<String>> _observe(Future<void> Function(Log log) scenario) async {
  final log = Log._();
  final ended = Completer<void>();
  runZonedGuarded(
    () async {
      try {
        await scenario(log).timeout(_sideMay);
      } on TimeoutException {
        log('scenario')('hangs');
      } on Skip catch (skip, trace) {
        ended.completeError(skip, trace);
      } catch (error, trace) {
        log('scenario')('throws ${describe(error)}');
        if (error is! SocketException) log._trace = '$error\n$trace';
      }
      await log._cleanUp();
      // What comes after the end, such as errors that nobody has asked for, belongs to it.
      await turns();
      if (!ended.isCompleted) ended.complete();
    },
    (error, trace) => log('uncaught')(describe(error)),
  );
  await ended.future;
  if (log._trace case final trace?) print(trace);
  return log._lines();
}

void _compare(String what, List<String> actual, String of, List<String> model) {
  final difference = _difference(actual, model);
  if (difference == null) return;
  print('  $of:');
  for (final line in model) {
    print('    $line');
  }
  print('  $what:');
  for (final line in actual) {
    print('    $line');
  }
  throw Failure('$what and $of differ: $difference');
}

String? _difference(List<String> actual, List<String> model) {
  for (var i = 0; i < actual.length || i < model.length; i++) {
    final a = i < actual.length ? actual[i] : 'nothing';
    final m = i < model.length ? model[i] : 'nothing';
    if (a != m) return '"$a", not "$m"';
  }
  return null;
}

/// Lets what is ready to happen in this isolate happen.
Future<void> turns([int count = 5]) async {
  for (var i = 0; i < count; i++) {
    await Future<void>.delayed(Duration.zero);
  }
}

/// What a scenario sees.
final class Log {
  Log._();

  final _parts = <String, Witness>{};
  final _outcomes = <Future<void>>[];
  final _cleanups = <FutureOr<void> Function()>[];
  String? _trace;

  /// The part of the log with this name.
  Witness call(String name) => _parts[name] ??= Witness._(name, _outcomes);

  /// Does this at the end of the scenario, last first.
  void atEnd(FutureOr<void> Function() cleanup) => _cleanups.add(cleanup);

  Future<void> _cleanUp() async {
    await Future.wait(_outcomes).timeout(const Duration(seconds: 2), onTimeout: () {
      this('scenario')('waits for an outcome');
      return [];
    });
    for (final cleanup in _cleanups.reversed) {
      try {
        final result = cleanup();
        if (result is Future<void>) await result.timeout(const Duration(seconds: 3));
      } catch (error) {
        this('scenario')('cleaning up fails: ${describe(error)}');
      }
    }
  }

  List<String> _lines() {
    final names = _parts.keys.toList()..sort();
    return [
      for (final name in names)
        for (final line in _parts[name]!._finish()) '$name: $line',
    ];
  }

  /// A listening socket of whatever makes them here, closed at the end.
  Future<ServerSocket> bind(
      {Object? address, int port = 0, int backlog = 0, bool v6Only = false, bool shared = false}) async {
    final server = await ServerSocket.bind(
      address ?? InternetAddress.loopbackIPv4,
      port,
      backlog: backlog,
      v6Only: v6Only,
      shared: shared,
    );
    atEnd(server.close);
    return server;
  }

  /// Sees to it that the socket is gone at the end.
  Socket own(Socket socket) {
    atEnd(socket.destroy);
    return socket;
  }

  Future<Socket> connect(ServerSocket server) async => own(await Socket.connect(server.address, server.port));

  /// Both ends of a connection: the one that connected, and the one that was accepted.
  Future<(Socket, Socket)> pair() async {
    final server = await bind();
    final accepted = server.first;
    final connected = await connect(server);
    return (connected, own(await accepted));
  }
}

/// A part of a [Log]: what one of the actors of a scenario saw, in its order.
final class Witness {
  Witness._(this.name, this._outcomes);

  final String name;
  final List<Future<void>> _outcomes;
  final _lines = <String>[];
  final _data = BytesBuilder(copy: true);

  /// If chance decides how much comes, only whether it is a beginning of this is noted.
  Uint8List? beginningOf;

  /// How many bytes of data are noted.
  int bytes = 0;

  /// Whether nothing is noted.
  bool get isEmpty => _lines.isEmpty && _data.isEmpty;

  /// Notes a line.
  void call(String line) {
    _flush();
    _lines.add(line);
  }

  /// Notes data, which is joined with the data before it.
  void data(List<int> data) {
    bytes += data.length;
    _data.add(data);
  }

  void _flush() {
    if (_data.isEmpty) return;
    final bytes = _data.takeBytes();
    final whole = beginningOf;
    if (whole == null) {
      _lines.add('data ${describe(bytes)}');
    } else {
      var same = 0;
      while (same < bytes.length && same < whole.length && bytes[same] == whole[same]) {
        same++;
      }
      _lines.add(same == bytes.length ? 'a beginning' : 'something else from byte $same on');
    }
  }

  List<String> _finish() {
    _flush();
    return _lines;
  }

  /// Notes what comes of it. The scenario does not end before.
  Future<void> outcome(String what, Future<Object?> future) {
    final outcome = _note(what, future);
    _outcomes.add(outcome);
    return outcome;
  }

  Future<void> _note(String what, Future<Object?> future) => future.then<void>(
        (value) => this('$what: ${describe(value)}'),
        onError: (Object error) => this('$what fails: ${describe(error)}'),
      );

  /// Notes what has come of it in a while, for futures that dart:io does not complete.
  Future<void> settles(String what, Future<Object?> future) async {
    var settled = false;
    unawaited(_note(what, future).whenComplete(() => settled = true));
    await turns(20);
    if (!settled) this('$what: open');
  }

  /// Notes what the function returns or throws.
  void tries(String what, Object? Function() body) {
    try {
      final value = body();
      this('$what: ${describe(value)}');
    } catch (error) {
      this('$what throws ${describe(error)}');
    }
  }

  /// Listens, and notes all that comes; errors as [words] has it.
  Watched watch(
    Stream<List<int>> stream, {
    void Function(List<int> data)? onData,
    void Function()? onDone,
    String Function(Object error) words = describe,
  }) =>
      Watched._(this, stream, onData, onDone, words);
}

/// A stream whose events are noted.
final class Watched {
  Watched._(
    Witness witness,
    Stream<List<int>> stream,
    void Function(List<int> data)? onData,
    void Function()? onDone,
    String Function(Object error) words,
  ) {
    subscription = stream.listen(
      (data) {
        witness.data(data);
        onData?.call(data);
        _wake(witness);
      },
      onError: (Object error) => witness('error ${words(error)}'),
      onDone: () {
        witness('done');
        onDone?.call();
        _done.complete();
      },
    );
  }

  late final StreamSubscription<List<int>> subscription;
  final _done = Completer<void>();
  final _waiting = <(int, Completer<void>)>[];

  /// Completes with the end of the stream.
  Future<void> get done => _done.future;

  void _wake(Witness witness) {
    for (final (count, completer) in _waiting.toList()) {
      if (witness.bytes >= count && !completer.isCompleted) completer.complete();
    }
    _waiting.removeWhere((waiting) => waiting.$2.isCompleted);
  }

  /// Completes when so many bytes have come since the beginning.
  Future<void> received(int count) {
    final completer = Completer<void>();
    _waiting.add((count, completer));
    return completer.future;
  }
}

/// A value or an error in words that are the same on both sides if they mean the same to a program.
String describe(Object? value) => switch (value) {
      null || bool() || num() => '$value',
      // Programs look at the type and the error of the system. The message is for people.
      SocketException(:final osError) =>
        osError == null ? 'SocketException' : 'SocketException(errno ${osError.errorCode})',
      OSError(:final errorCode) => 'OSError($errorCode)',
      HttpException(:final message) => 'HttpException($message)',
      WebSocketException(:final message) => 'WebSocketException($message)',
      StateError(:final message) => 'StateError($message)',
      UnsupportedError(:final message) => 'UnsupportedError($message)',
      ArgumentError() => 'ArgumentError',
      TypeError() => 'TypeError',
      TimeoutException() => 'TimeoutException',
      FormatException() => 'FormatException',
      Failure(:final message) => 'Failure($message)',
      InternetAddress(:final address, :final type) => '${type.name} $address',
      HttpClientResponse() => 'a HttpClientResponse',
      Socket() => 'a Socket',
      ServerSocket() => 'a ServerSocket',
      IOSink() => 'an IOSink',
      HttpServer() => 'an HttpServer',
      final Uint8List bytes when _isText(bytes) => '"${ascii.decode(bytes)}"',
      final Uint8List bytes => '${bytes.length} bytes, Adler-32 ${checksum(bytes).toRadixString(16)}',
      String() => '"$value"',
      List<int>() => '$value',
      List<Object?>() => '[${value.map(describe).join(', ')}]',
      Enum() => value.name,
      _ => '${value.runtimeType} $value',
    };

bool _isText(Uint8List bytes) => bytes.length <= 64 && bytes.every((byte) => byte >= 0x20 && byte < 0x7f);

/// Pieces of [size] bytes, [count] of them; [onPiece] is told how many were taken so far.
Stream<Uint8List> pieces(int count, int size, {void Function(int taken)? onPiece}) async* {
  final piece = pattern(size);
  for (var i = 0; i < count; i++) {
    onPiece?.call(i + 1);
    yield piece;
  }
}

/// Adds up what a stream brings.
final class Sum {
  int bytes = 0;
  int _sum = 1;

  void add(Uint8List data) {
    bytes += data.length;
    _sum = checksum(data, _sum);
  }

  @override
  String toString() => '$bytes bytes, Adler-32 ${_sum.toRadixString(16)}';
}

Future<void> sumUp(Witness witness, Stream<Uint8List> stream) async {
  final sum = Sum();
  await stream.forEach(sum.add);
  witness('$sum');
}
