/// What a scenario sees, and the words for it.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'system.dart';
import 'testing.dart';

/// What a scenario sees.
final class Log {
  final _parts = <String, Witness>{};
  final _outcomes = <Future<void>>[];
  final _cleanups = <FutureOr<void> Function()>[];

  /// Where an error comes from that is not one of sockets.
  String? trace;

  /// The part of the log with this name.
  Witness call(String name) => _parts[name] ??= Witness._(name, _outcomes);

  /// Does this at the end of the scenario, last first.
  void atEnd(FutureOr<void> Function() cleanup) => _cleanups.add(cleanup);

  /// Waits for outcomes, and does what is to be done at the end.
  Future<void> cleanUp() async {
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

  /// All that was seen, by part.
  List<String> get lines {
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
      address ?? loopback,
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

  /// An address that does not answer: of a server of the system with a full queue.
  Future<(InternetAddress, int)> blackHole() async {
    final server = await RawServerSocket.bind(loopback, 0, backlog: 1);
    atEnd(server.close);
    for (var i = 0; i < 2; i++) {
      final socket = await RawSocket.connect(server.address, server.port);
      atEnd(socket.close);
    }
    return (server.address, server.port);
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
      // Programs look at the type and the error of the system. The message is for people. An OSError may be both.
      OSError(:final errorCode) => 'OSError($errorCode)',
      SocketException(:final osError) =>
        osError == null ? 'SocketException' : 'SocketException(errno ${osError.errorCode})',
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
      final Uint8List bytes => summary(bytes),
      String() => '"$value"',
      List<int>() => '$value',
      List<Object?>() => '[${value.map(describe).join(', ')}]',
      Enum() => value.name,
      _ => '${value.runtimeType} $value',
    };

bool _isText(Uint8List bytes) => bytes.length <= 64 && bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
