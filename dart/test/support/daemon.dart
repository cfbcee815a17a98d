/// The daemon that serves this program, seen from outside of the package.
library;

import 'dart:ffi';
import 'dart:io';

import 'package:oche/src/library.dart';
import 'package:oche/src/native.dart';

import 'environment.dart';
import 'testing.dart';

/// The process that serves [socket], by default for this program: it has written its number to the file beside it.
int daemonPid([String? socket]) => int.parse(File('${socket ?? socketPath}.lock').readAsStringSync().trim());

/// Kills that process; returns which it was.
int killDaemon([String? socket]) {
  final pid = daemonPid(socket);
  expectTrue(Process.killPid(pid, ProcessSignal.sigkill), 'process $pid could be killed');
  return pid;
}

/// Runs [body] while the daemon is stopped: it is there, but neither reads nor answers.
Future<T> whileStopped<T>(Future<T> Function(int pid) body) async {
  final pid = daemonPid();
  expectTrue(Process.killPid(pid, ProcessSignal.sigstop), 'process $pid could be stopped');
  try {
    return await body(pid);
  } finally {
    Process.killPid(pid, ProcessSignal.sigcont);
  }
}

final _setenv = DynamicLibrary.process().lookupFunction<Int Function(Pointer<Uint8>, Pointer<Uint8>, Int),
    int Function(Pointer<Uint8>, Pointer<Uint8>, int)>('setenv');

void _setDaemon(String program) {
  final name = cString('OCHE_DAEMON'), value = cString(program);
  _setenv(name, value, 1);
  free(name);
  free(value);
}

/// Runs [body] while the library finds no daemon that it could start.
Future<T> withoutDaemon<T>(Future<T> Function() body) async {
  final program = daemonProgram;
  _setDaemon('/nonexistent/oched');
  try {
    return await body();
  } finally {
    _setDaemon(program);
  }
}

/// Lets another daemon take over from the one that serves, and comes back when that is done.
Future<void> replaceDaemon() async {
  final before = daemonPid();
  final arguments = ['--replace', '--socket', socketPath, '--idle-exit', '60'];
  final started = await Process.run(daemonProgram, arguments);
  expect(started.exitCode, 0, 'the exit code of the successor, which printed ${started.stderr},');
  expectTrue(daemonPid() != before, 'another daemon serves than process $before');
}

/// Runs [body] with a daemon of its own that is started with [options]; a program finds it by the environment.
Future<void> withDaemon(List<String> options, Future<void> Function(Map<String, String> environment) body) =>
    inDirectory((directory) async {
      final socket = '$directory/oched.sock', environment = {'OCHE_SOCKET': socket};
      // It goes to the background as soon as it serves.
      final started = await Process.run(daemonProgram, [...options, '--idle-exit', '60'], environment: environment);
      expect(started.exitCode, 0, 'the exit code of the daemon, which printed ${started.stderr},');
      try {
        await body(environment);
      } finally {
        killDaemon(socket);
      }
    });

final class _Statistics extends Struct {
  @Size()
  external int size;

  @Uint64()
  external int uptimeSeconds;

  @Uint64()
  external int sessionsOpen;

  @Uint64()
  external int sessionsTotal;

  @Uint64()
  external int socketsOpen;

  @Uint64()
  external int connectionsAccepted;

  @Uint64()
  external int connectionsMade;

  @Uint64()
  external int bytesReceived;

  @Uint64()
  external int bytesSent;

  @Uint64()
  external int sessionHandles;

  @Uint64()
  external int sessionQueuedBytes;

  @Uint64()
  external int user;

  /// Seven quotas of the user, each of which has three numbers.
  @Array(7 * 3)
  external Array<Uint64> quotas;
}

/// What the daemon says of all its sessions, in a session of its own.
final class Observer {
  Observer._(this._session);

  /// Opens a session for as long as this program lives.
  factory Observer() {
    findLibrary();
    final place = allocate(sizeOf<Pointer<Void>>());
    final status = _open(nullptr, place.cast());
    final session = place.cast<Pointer<Void>>().value;
    free(place);
    expect(status, 0, 'what oche_session_open returned');
    return Observer._(session);
  }

  final Pointer<Void> _session;
  final _statistics = allocate(sizeOf<_Statistics>()).cast<_Statistics>();
  final _completion = allocate(64);

  static final _library = DynamicLibrary.process();
  static final _open = _library.lookupFunction<Int64 Function(Pointer<Void>, Pointer<Pointer<Void>>),
      int Function(Pointer<Void>, Pointer<Pointer<Void>>)>('oche_session_open');
  static final _ask = _library.lookupFunction<Int64 Function(Pointer<Void>, Int64, Pointer<Uint8>),
      int Function(Pointer<Void>, int, Pointer<Uint8>)>('oche_get_statistics');
  static final _dispatch =
      _library.lookupFunction<Int64 Function(Pointer<Void>), int Function(Pointer<Void>)>('oche_session_dispatch');
  static final _pop = _library.lookupFunction<Bool Function(Pointer<Void>, Pointer<Uint8>),
      bool Function(Pointer<Void>, Pointer<Uint8>)>('oche_session_pop');

  Future<_Statistics> _get() async {
    _statistics.ref.size = sizeOf<_Statistics>();
    expect(_ask(_session, 1, _statistics.cast()), 0, 'what oche_get_statistics returned');
    await eventually(() {
      expect(_dispatch(_session), 0, 'what oche_session_dispatch returned');
      return _pop(_session, _completion);
    }, 'the daemon answers');
    return _statistics.ref;
  }

  /// How many sessions there are besides this one.
  Future<int> get sessions async => (await _get()).sessionsOpen - 1;

  /// How many sockets there are in all sessions.
  Future<int> get sockets async => (await _get()).socketsOpen;

  /// How many connections were accepted since the daemon started.
  Future<int> get accepted async => (await _get()).connectionsAccepted;
}
