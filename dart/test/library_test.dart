/// Finding the library and the daemon, each time in a new process.
library;

import 'dart:io';

import 'package:oche/oche.dart';

import 'support/children.dart';
import 'support/daemon.dart';
import 'support/environment.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) async {
  await prepareProgram('finds.dart');
  findingTheLibrary();
  findingTheDaemon();
  return runTests(arguments);
}

Future<Outcome> finds(
  List<String> arguments, {
  Map<String, String> environment = const {},
  Set<String> unset = const {},
}) =>
    runProgram('finds.dart', arguments, environment: environment, unset: unset);

void findingTheLibrary() {
  test('OCHE_LIBRARY names the library', () async {
    expectSuccess(await finds(['echo'], environment: {'OCHE_LIBRARY': libraryFile}), ['echo: done']);
  });

  test('useOcheLibrary names it as well, and goes before OCHE_LIBRARY', () async {
    expectSuccess(await finds(['use=$libraryFile', 'echo'], unset: {'OCHE_LIBRARY'}), ['use: done', 'echo: done']);
    expectSuccess(await finds(['use=$libraryFile', 'echo'], environment: {'OCHE_LIBRARY': '/nowhere/liboche.so'}),
        ['use: done', 'echo: done']);
  });

  test('a library that is not there is not found, and others are not looked for', () async {
    const nowhere = '/nowhere/liboche.so';
    final byName = await finds(['connect', 'listen'], environment: {'OCHE_LIBRARY': nowhere});
    final byCall = await finds(['use=$nowhere', 'listen']);
    expectTrue(byName.lines.first.startsWith('connect: not found: $nowhere: '),
        'it says what the system said: ${byName.lines}');
    expectTrue(byName.lines.last.startsWith('listen: not found: $nowhere: '), 'and again');
    expectTrue(byCall.lines.last.startsWith('listen: not found: $nowhere: '), 'so by the call');
    for (final outcome in [byName, byCall]) {
      expectTrue(!outcome.lines.last.contains('; '), 'nothing else was tried: ${outcome.lines}');
      expect(outcome.errors, '', 'standard error');
      expect(outcome.exitCode, 0, 'the exit code');
    }
  });

  test('a program that did not find the library may name another one', () async {
    final outcome =
        await finds(['listen', 'use=$libraryFile', 'echo'], environment: {'OCHE_LIBRARY': '/nowhere/liboche.so'});
    expect(outcome.errors, '', 'standard error');
    expect(outcome.lines.sublist(1), ['use: done', 'echo: done'], 'what it printed');
  });

  test('a library that is not liboche is refused', () async {
    expectSuccess(await finds(['listen'], environment: {'OCHE_LIBRARY': 'libm.so.6'}),
        ['listen: not found: libm.so.6: not liboche, it has no function tcp_destroy']);
  });

  test('a file that is no library is refused', () async {
    final path = Platform.script.toFilePath();
    final outcome = await finds(['listen'], environment: {'OCHE_LIBRARY': path});
    expectTrue(outcome.lines.single.startsWith('listen: not found: $path: '),
        'it says what the system said: ${outcome.lines}');
    expect(outcome.errors, '', 'standard error');
  });

  test('if nothing names a library the system is asked, and what was tried is told', () async {
    final unset = {'OCHE_LIBRARY', 'LD_LIBRARY_PATH'};
    for (final environment in [
      <String, String>{},
      {'OCHE_LIBRARY': ''},
    ]) {
      final outcome = await finds(['listen'], environment: environment, unset: unset);
      if (outcome.lines.first == 'listen: done') throw Skip('liboche is installed here');
      expect(outcome.errors, '', 'standard error');
      final [first, second, third, ...more] = outcome.lines.single.replaceFirst('listen: not found: ', '').split('; ');
      expect(first, 'OCHE_LIBRARY is not set in the environment', 'the first');
      expectTrue(second.startsWith('liboche.so.0: '), 'the second: $second');
      expectTrue(third.startsWith('liboche.so: '), 'the third: $third');
      expect(more, <String>[], 'the others');
    }
  });

  test('useOcheLibrary comes too late when there is a library', () async {
    expectSuccess(await finds(['listen', 'use=$libraryFile']), [
      'listen: done',
      'use: StateError: useOcheLibrary("$libraryFile") comes too late: liboche is loaded already',
    ]);
  });

  test('useOcheLibrary comes too late in this program, too', () async {
    await (await Listener.bind(loopback, 0)).close();
    await failureOf<StateError>(() => useOcheLibrary(libraryFile));
  });
}

void findingTheDaemon() {
  test('a daemon that cannot be started is unavailable, and the message says why', () async {
    await inDirectory((directory) async {
      final outcome = await finds([
        'listen',
        'connect'
      ], environment: {
        'OCHE_SOCKET': '$directory/oched.sock',
        'OCHE_DAEMON': '/nowhere/oched',
      });
      expect(outcome.errors, '', 'standard error');
      expect(outcome.exitCode, 0, 'the exit code');
      expect(outcome.lines.length, 2, 'the number of failures');
      for (final (i, verb) in ['listen', 'connect'].indexed) {
        final line = outcome.lines[i];
        expectTrue(line.startsWith('$verb: DaemonUnavailableException: open: '), 'it is: $line');
        for (final word in ['cannot start', '/nowhere/oched', 'No such file']) {
          expectTrue(line.contains(word), 'it tells of $word: $line');
        }
      }
    });
  });

  test('a program that found no daemon finds one that is started later', () async {
    await inDirectory((directory) async {
      final outcome = await finds([
        'listen',
        'serve=$daemonProgram',
        'echo',
      ], environment: {
        'OCHE_SOCKET': '$directory/oched.sock',
        'OCHE_DAEMON': '/nowhere/oched',
      });
      expect(outcome.errors, '', 'standard error');
      expect(outcome.lines.sublist(1), ['serve: done', 'echo: done'], 'what it printed');
      killDaemon('$directory/oched.sock');
    });
  });
}
