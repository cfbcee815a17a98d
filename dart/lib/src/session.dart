/// The session of an isolate with the daemon: its port, and who waits for what.
library;

import 'dart:async';
import 'dart:ffi';
import 'dart:io' show InternetAddress;
import 'dart:isolate';

import 'address.dart';
import 'bindings.dart';
import 'exceptions.dart';
import 'library.dart';
import 'native.dart';
import 'structs.dart';

/// Who gets the completions of the requests that it makes.
///
/// A client has a slot in the session's table, and its request ids are made of the slot and a [kind] of its own, 1 to 3;
/// so a completion finds its client without a lookup, and nothing is allocated for a request.
abstract class SessionClient {
  /// A request of the [kind] has ended with [result]; [detail] is the data of a read or the errno of a failure.
  void onCompletion(int kind, int result, Object? detail);

  /// The isolate may be about to end. A client that has called [Session.beforeIdle] makes a request if it has to know
  /// before that something is done.
  void settle() {}
}

/// The session of this isolate. Opened when it is first needed, ended when the isolate ends.
final class Session implements Finalizable {
  Session._();

  /// Never replaced: a session that has lost its daemon finds another by itself.
  static final Session _instance = Session._();

  /// Ends the session with its isolate, however that ends.
  static final _finalizer = NativeFinalizer(
    Native.addressOf<NativeFunction<Void Function(Pointer<Void>)>>(oche_isolate_release),
  );

  final _port = RawReceivePort();
  bool _isOpen = false;

  /// By slot. Free ones are in [_freeSlots].
  final _clients = <SessionClient?>[];
  final _freeSlots = <int>[];

  /// Requests that will complete. While there are some the isolate stays alive.
  int _pending = 0;
  bool _keepsAlive = true;
  bool _checksLife = false;

  /// Room for the two addresses of a connect.
  late final Pointer<Uint8> _addresses = allocate(2 * addressSize);

  /// The session, whose daemon is found or started when something is requested. Never waits for that: if there is no
  /// daemon, requests fail. Throws an [OcheException] if there is no library, or no memory.
  static Session open() {
    findLibrary(); // first: without a library there is nobody who would let go of a port, and of the isolate
    if (!_instance._isOpen) _instance._open();
    return _instance;
  }

  void _open() {
    _port.handler = _onMessage;
    final status = oche_isolate_open(NativeApi.initializeApiDLData, _port.sendPort.nativePort);
    if (status == 0) {
      oche_isolate_enable(
        OCHE_FEATURE_ERROR_DETAIL |
            OCHE_FEATURE_BATCHED_POSTS |
            OCHE_FEATURE_QUIET_WRITES |
            OCHE_FEATURE_BREAKS |
            OCHE_FEATURE_ENDPOINTS |
            OCHE_FEATURE_WORDS,
      );
      final guard = oche_isolate_guard();
      if (guard != nullptr) _finalizer.attach(this, guard);
      _isOpen = true;
    }
    _checkLife();
    if (status < 0) {
      throw OcheException.of(status, 'open', message: dartString(oche_last_error().cast()));
    }
  }

  // ---- clients and their requests ----

  /// Gives [client] a slot, until [remove].
  int add(SessionClient client) {
    if (_freeSlots.isEmpty) {
      _clients.add(client);
      return _clients.length - 1;
    }
    final slot = _freeSlots.removeLast();
    _clients[slot] = client;
    return slot;
  }

  /// Takes the slot back. Nothing may be pending for it.
  void remove(int slot) {
    _unsettled.remove(_clients[slot]);
    _clients[slot] = null;
    _freeSlots.add(slot);
  }

  /// Like [remove], but completions may still come, and nobody wants them: the slot is not used again.
  void retire(int slot) {
    _unsettled.remove(_clients[slot]);
    _clients[slot] = null;
  }

  /// The id for requests of a kind.
  static int requestId(int slot, int kind) => slot << 2 | kind;

  /// A request that will complete was made.
  void addPending() {
    if (_pending++ == 0 && !_keepsAlive) _port.keepIsolateAlive = _keepsAlive = true;
  }

  void _onMessage(List<Object?> message) {
    for (var i = 0; i < message.length; i += 3) {
      var id = message[i] as int;
      if (id > 0) {
        _pending--;
      } else {
        id = -id; // a write that was not to be heard of and failed, or the connection broke after it
      }
      _clients[id >> 2]?.onCompletion(id & 3, message[i + 1] as int, message[i + 2]);
    }
    _checkLifeSoon();
  }

  void _checkLifeSoon() {
    if (_pending > 0 || _checksLife) return;
    _checksLife = true;
    Zone.root.scheduleMicrotask(_checkLife); // in another one it may never run
  }

  /// Runs behind what the completions of a message have set off, so that a loop that makes one request after the other
  /// does not switch back and forth.
  void _checkLife() {
    _checksLife = false;
    if (_pending == 0) {
      final unsettled = _unsettled.toList();
      _unsettled.clear();
      for (final client in unsettled) {
        client.settle();
      }
    }
    if (_pending == 0 && _keepsAlive) _port.keepIsolateAlive = _keepsAlive = false;
  }

  final _unsettled = <SessionClient>{};

  /// Calls [SessionClient.settle] once before the isolate may end for lack of something to do.
  void beforeIdle(SessionClient client) {
    _unsettled.add(client);
    _checkLifeSoon();
  }

  /// The exception for a request that makes a socket and has failed with [code]. If there is no session with the daemon
  /// that could make one, it says why.
  static OcheException failure(int code, String operation, int errno, [InternetAddress? address, int? port]) {
    final reason = switch (code) {
      TCP_ERR_DAEMON_UNAVAILABLE ||
      TCP_ERR_PROTOCOL ||
      TCP_ERR_QUOTA ||
      TCP_ERR_OUT_OF_MEMORY =>
        dartString(oche_isolate_open_error().cast()),
      _ => '',
    };
    return reason.isNotEmpty
        ? OcheException.of(code, 'open', message: reason)
        : OcheException.of(code, operation, errno: errno, address: address, port: port);
  }

  // ---- requests that make a socket ----

  /// Requests a connection; 0 or a code.
  int connect(
    int requestId,
    InternetAddress address,
    int port,
    InternetAddress? source,
    int sourcePort,
    Duration? timeout,
  ) {
    final place = _addresses, sourcePlace = _addresses + addressSize;
    final sourceLength = source == null ? 0 : putAddress(sourcePlace, source);
    if (source != null && sourceLength == 0) return TCP_ERR_INVALID_ADDRESS;
    return oche_isolate_connect(
      requestId,
      place,
      putAddress(place, address),
      port,
      source == null ? nullptr : sourcePlace,
      sourceLength,
      sourcePort,
      timeout == null ? 0 : milliseconds(timeout),
    );
  }

  /// For a limit. At least one: what is over already must not mean none at all.
  static int milliseconds(Duration timeout) => timeout.inMilliseconds.clamp(1, 0xffffffff);

  /// Requests a listener; 0 or a code.
  int listen(
    int requestId,
    InternetAddress address,
    int port, {
    required bool v6Only,
    required int backlog,
    required bool shared,
    required bool durable,
  }) =>
      oche_isolate_listen(
        requestId,
        _addresses,
        putAddress(_addresses, address),
        port,
        v6Only,
        backlog,
        shared,
        durable,
      );

  /// Requests a listener whose connections have TLS, with the context of that handle; 0 or a code.
  int listenWithTls(
    int requestId,
    InternetAddress address,
    int port,
    int context, {
    required bool v6Only,
    required int backlog,
    required bool shared,
  }) =>
      Scratch.use((scratch) {
        final place = scratch.allocateBytes(addressSize);
        final length = putAddress(place, address);
        if (length == 0) return TCP_ERR_INVALID_ADDRESS;
        final options = scratch.allocateBytes(sizeOf<OcheListenOptions>()).cast<OcheListenOptions>();
        options.ref
          ..size = sizeOf<OcheListenOptions>()
          ..address = place
          ..addressLength = length == addressSize ? addressSize - 4 : length
          ..scopeId = length == addressSize ? (place + addressSize - 4).cast<Uint32>().value : 0
          ..port = port
          ..v6Only = v6Only
          ..backlog = backlog
          ..shared = shared
          ..tlsContext = context;
        return oche_listen(oche_isolate_session(), requestId, options);
      });
}

/// A single request, whose completion is a [Future].
final class OneRequest<T> extends SessionClient {
  final Session _session;
  final T Function(int result, Object? detail) _value;
  final OcheException Function(int code, int errno) _failure;
  final OcheException Function(int code, String words)? _failureInWords;
  final _completer = Completer<T>.sync();
  late final int _slot = _session.add(this);

  /// What comes of it.
  late final Future<T> outcome;

  /// Makes a request by [call], which gets its id and returns 0 or a code.
  ///
  /// [_value] runs as soon as the completion comes, before any other completion is looked at.
  /// [failureInWords] is for requests whose failures may need words.
  OneRequest(
    this._session,
    int Function(int id) call,
    this._value,
    this._failure, {
    OcheException Function(int code, String words)? failureInWords,
  }) : _failureInWords = failureInWords {
    final status = call(id);
    if (status < 0) {
      _isPending = false;
      _session.remove(_slot);
      outcome = Future.error(_failure(status, 0), StackTrace.current);
    } else {
      _session.addPending();
      outcome = _completer.future;
    }
  }

  /// The id of the request.
  int get id => Session.requestId(_slot, 1);

  /// Whether nothing has come of it yet.
  bool get isPending => _isPending;
  bool _isPending = true;

  @override
  void onCompletion(int kind, int result, Object? detail) {
    _isPending = false;
    _session.remove(_slot);
    if (result < 0) {
      final failure = detail is String ? _failureInWords!(result, detail) : _failure(result, detail as int);
      return _completer.completeError(failure, StackTrace.current);
    }
    _completer.complete(_value(result, detail));
  }
}
