/// Programs that know nothing of Dart, to be at the other end.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'package:oche/io.dart';

import 'system.dart';
import 'testing.dart';

export 'system.dart';
export 'testing.dart';

/// A test whose sockets are of oche, with the path of the program that it needs.
void testAgainst(String program, String name, Future<void> Function(String path) body) {
  test('$program: $name', () async {
    final path = _find(program);
    if (path == null) throw Skip('$program is not installed');
    await runWithOche(() => body(path));
  });
}

String? _find(String program) {
  for (final directory in (Platform.environment['PATH'] ?? '').split(':')) {
    final path = '$directory/$program';
    // Executable by somebody: mode 0111.
    if (FileStat.statSync(path) case FileStat(type: FileSystemEntityType.file, :final mode) when mode & 73 != 0) {
      return path;
    }
  }
  return null;
}

/// A program that runs. What it prints is collected; its errors, too.
final class PeerProgram {
  PeerProgram._(this.process) {
    final out = process.stdout.listen((data) {
      _out.add(data);
      for (final waiting in _waiting.toList()) {
        if (printed.contains(waiting.$1)) {
          _waiting.remove(waiting);
          waiting.$2.complete();
        }
      }
    }).asFuture<void>();
    final err = process.stderr.transform(utf8.decoder).join().then((text) => _errors = text);
    _ended = Future.wait([out, err]);
  }

  static Future<PeerProgram> start(String path, List<String> arguments) async => PeerProgram._(
        await Process.start(path, arguments, environment: _environment, includeParentEnvironment: false),
      );

  /// Nothing is to be loaded into a stranger.
  static final _environment = {...Platform.environment}..remove('LD_PRELOAD');

  final Process process;
  final _out = BytesBuilder();
  late final Future<void> _ended;
  String _errors = '';
  final _waiting = <(String, Completer<void>)>[];

  String get printed => latin1.decode(_out.toBytes());

  /// Comes back when it has printed this.
  Future<void> prints(String text) {
    if (printed.contains(text)) return Future.value();
    final completer = Completer<void>();
    _waiting.add((text, completer));
    return completer.future;
  }

  /// All that it has printed, when it has ended. It has to succeed.
  Future<Uint8List> output() async {
    final code = await process.exitCode;
    await _ended;
    if (code != 0) throw Failure('the program ended with $code: $_errors');
    return _out.toBytes();
  }

  Future<String> text() async => utf8.decode(await output());

  Future<void> kill() async {
    process.kill(ProcessSignal.sigkill);
    await process.exitCode;
    await _ended;
  }
}

Future<Uint8List> collect(Stream<List<int>> stream) async {
  final bytes = BytesBuilder();
  await stream.forEach(bytes.add);
  return bytes.takeBytes();
}

/// An HTTP server for whoever closes it.
Future<HttpServer> serveHttp(FutureOr<void> Function(HttpRequest request) answer) async {
  final server = await HttpServer.bind(loopback, 0);
  server.listen(answer);
  return server;
}
