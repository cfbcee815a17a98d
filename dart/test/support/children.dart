/// Dart programs that run in processes of their own.
library;

import 'dart:convert';
import 'dart:io';

import 'environment.dart';
import 'testing.dart';

/// What a program printed, and how it ended.
typedef Outcome = ({int exitCode, List<String> lines, String errors});

final _compiled = <String, Future<String>>{};

/// Compiles a program, beside the socket of the daemon, which is a place of this test only.
Future<String> _compile(String name) async {
  final output = '${File(socketPath).parent.path}/$name.dill';
  final [vm, ...options] = vmCommand;
  final result = await Process.run(vm, [
    ...options,
    '--snapshot-kind=kernel',
    '--snapshot=$output',
    Platform.script.resolve('support/programs/$name').toFilePath(),
  ]);
  expect(result.exitCode, 0, 'the exit code of the compiler, which printed ${result.stderr},');
  return output;
}

/// Compiles a program before a test needs it: that may take longer than a test may.
Future<void> prepareProgram(String name) async {
  try {
    await (_compiled[name] ??= _compile(name));
  } on Object {
    // The tests will say so.
  }
}

/// Runs a program of the directory `programs` like this one. [environment] is added to that of this program, without
/// what is in [unset].
Future<Outcome> runProgram(
  String name,
  List<String> arguments, {
  Map<String, String> environment = const {},
  Set<String> unset = const {},
}) async {
  final program = await (_compiled[name] ??= _compile(name));
  final [vm, ...options] = vmCommand;
  final result = await Process.run(
    vm,
    [...options, program, ...arguments],
    environment: {
      for (final MapEntry(:key, :value) in Platform.environment.entries)
        if (!unset.contains(key)) key: value,
      ...environment,
    },
    includeParentEnvironment: false,
    stdoutEncoding: utf8,
    stderrEncoding: utf8,
  );
  return (
    exitCode: result.exitCode,
    lines: const LineSplitter().convert(result.stdout as String),
    errors: result.stderr as String,
  );
}

/// The program did its work and said nothing else.
void expectSuccess(Outcome outcome, [List<String> lines = const []]) {
  expect(outcome.errors, '', 'standard error');
  expect(outcome.lines, lines, 'what it printed');
  expect(outcome.exitCode, 0, 'the exit code');
}
