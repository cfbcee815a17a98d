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
import 'dart:io';

import 'package:oche/io.dart';

import 'log.dart';
import 'testing.dart';

export 'log.dart';
export 'raw_peer.dart';
export 'scenario.dart';
export 'system.dart';
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
  final log = Log();
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
        if (error is! SocketException) log.trace = '$error\n$trace';
      }
      await log.cleanUp();
      // What comes after the end, such as errors that nobody has asked for, belongs to it.
      await turns();
      if (!ended.isCompleted) ended.complete();
    },
    (error, trace) => log('uncaught')(describe(error)),
  );
  await ended.future;
  if (log.trace case final trace?) print(trace);
  return log.lines;
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
