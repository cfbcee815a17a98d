/// Isolates that live for themselves.
library;

import 'dart:async';
import 'dart:io';
import 'dart:isolate';

import 'testing.dart';

/// An isolate, and what is heard of it.
final class Life {
  Life._(this._isolate, this._messages, this._errors, this.exited);

  final Isolate _isolate;
  final StreamIterator<Object?> _messages;
  final ReceivePort _errors;

  /// Completes when it has ended.
  final Future<void> exited;
  bool _ended = false;

  /// Begins a life. What [body] sends to its port comes out of [next].
  static Future<Life> begin<T>(Future<void> Function((SendPort, T)) body, T argument) async {
    final messages = ReceivePort(), errors = ReceivePort(), exit = ReceivePort();
    final exited = exit.first.whenComplete(() {
      messages.close();
      errors.close();
    });
    final isolate =
        await Isolate.spawn(body, (messages.sendPort, argument), onExit: exit.sendPort, onError: errors.sendPort);
    final life = Life._(isolate, StreamIterator(messages), errors, exited);
    unawaited(exited.whenComplete(() => life._ended = true));
    return life;
  }

  /// Whether it is known to have ended.
  bool get hasEnded => _ended;

  /// The next message.
  Future<Object?> get next async {
    if (await _messages.moveNext()) return _messages.current;
    throw Failure('the isolate ended without a word');
  }

  /// The next uncaught error, as a text.
  Future<String> get error async => ((await _errors.first) as List<Object?>).first! as String;

  /// Ends it at once.
  Future<void> kill() {
    _isolate.kill(priority: Isolate.immediate);
    return exited;
  }
}

/// The names of the threads of this process that are not the VM's.
List<String> threadsOfOche() {
  final names = <String>[];
  for (final task in Directory('/proc/self/task').listSync()) {
    try {
      final name = File('${task.path}/comm').readAsStringSync().trim();
      if (name.startsWith('oche')) names.add(name);
    } on FileSystemException {
      // It has ended.
    }
  }
  return names..sort();
}

/// What the descriptors of this process are, without their numbers.
List<String> descriptors() {
  final kinds = <String>[];
  for (final entry in Directory('/proc/self/fd').listSync(followLinks: false)) {
    try {
      kinds.add(Link(entry.path).targetSync().replaceFirst(RegExp(r'\[\d+\]$'), ''));
    } on FileSystemException {
      // It is closed: that of the list itself.
    }
  }
  return kinds..sort();
}
