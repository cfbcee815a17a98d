/// What the environment says. A test that needs more than it says is skipped.
library;

import 'dart:io';

import 'testing.dart';

String _of(String name, String what) =>
    Platform.environment[name] ?? (throw Skip('$name is not set: it has to name $what'));

/// The socket of the daemon that serves this program.
String get socketPath => _of('OCHE_SOCKET', 'a place that is of this test only');

/// The daemon, as a program.
String get daemonProgram => _of('OCHE_DAEMON', 'a daemon');

/// The library of this program.
String get libraryFile => _of('OCHE_LIBRARY', 'a library');

/// The command that runs another Dart program as this one is run, up to the program: in QEMU if this VM is.
List<String> get vmCommand => [
      if (isEmulated) ...['qemu-i386-static', '-L', '/'],
      Platform.resolvedExecutable,
      ...Platform.executableArguments,
    ];
