/// Futures over the bindings: the session of one isolate, with its port and a table of what is
/// pending.
///
/// Sockets are plain handles, as in C. Calls that fail throw a [TcpException].
library;

import 'dart:async';
import 'dart:convert';
import 'dart:ffi';
import 'dart:io' show InternetAddress;
import 'dart:isolate';
import 'dart:typed_data';

import 'package:oche/src/bindings.dart';
import 'package:oche/src/library.dart';

class TcpException implements Exception {
  /// One of the TCP_ERR_ codes.
  final int code;

  /// errno, or 0.
  final int osError;

  /// The call itself returned the code: nothing was queued, no completion came.
  final bool refused;

  final String? _reason;

  TcpException(this.code, {this.osError = 0, this.refused = false, String? reason}) : _reason = reason;

  @override
  String toString() {
    final system = osError == 0 ? '' : ' (errno $osError)';
    final reason = _reason ?? string(oche_error_text(code));
    return '${string(oche_error_name(code))}$system: $reason';
  }
}

/// A C string.
String string(Pointer<Char> text) {
  final bytes = text.cast<Uint8>();
  var length = 0;
  while (bytes[length] != 0) {
    length++;
  }
  return utf8.decode(bytes.asTypedList(length));
}

/// Returns what is not negative, throws the rest.
int check(int result) => result < 0 ? throw TcpException(result, refused: true) : result;

class Client {
  final _port = RawReceivePort();
  final _pending = <int, Completer<List<Object?>>>{};
  var _lastRequest = 0;

  /// Two addresses for calls that cannot take those of a list, for they are no leaf calls.
  final Pointer<Uint8> _addresses = _calloc(2, 16);

  Client._() {
    _port.handler = Zone.current.bindUnaryCallbackGuarded(_complete);
  }

  /// Opens the session of this isolate. Starts a daemon if none serves.
  factory Client.open() {
    findLibrary();
    final client = Client._();
    final status = tcp_init(NativeApi.initializeApiDLData, client.nativePort);
    if (status < 0) {
      final reason = string(oche_last_error());
      client.dispose();
      throw TcpException(status, refused: true, reason: reason);
    }
    check(oche_isolate_enable(OCHE_FEATURE_ERROR_DETAIL));
    return client;
  }

  void _complete(List<Object?> message) {
    final completer = _pending.remove(message[0]);
    if (completer == null) throw StateError('a message about no request: $message');
    completer.complete(message);
  }

  int get nativePort => _port.sendPort.nativePort;

  /// Ends the session; what is pending fails with [TCP_ERR_CLOSED].
  Future<void> destroy() async {
    check(tcp_destroy());
    await settled();
    dispose();
  }

  /// Waits until nothing is pending.
  Future<void> settled() async {
    while (_pending.isNotEmpty) {
      await _pending.values.first.future;
    }
  }

  /// Gives up what is this object's, when the session has ended otherwise.
  void dispose() {
    _port.close();
    _free(_addresses);
  }

  /// Makes a request, usually with a fresh id: the whole message that completes it, whatever its
  /// result.
  Future<List<Object?>> message(int Function(int id) call, {int? id}) {
    id ??= ++_lastRequest;
    final status = call(id);
    if (status < 0) return Future.error(TcpException(status, refused: true));
    return (_pending[id] = Completer()).future;
  }

  /// Makes a request: the message of its success.
  Future<List<Object?>> _success(int Function(int id) call) async {
    final [_, result as int, data] = await message(call);
    if (result < 0) throw TcpException(result, osError: data as int? ?? 0);
    return [result, data];
  }

  Future<int> _result(int Function(int id) call) async => (await _success(call))[0] as int;

  /// Copies an address to where C can read it.
  Pointer<Uint8> _addressAt(int index, InternetAddress address) {
    final place = _addresses + index * 16;
    final bytes = address.rawAddress;
    place.asTypedList(bytes.length).setAll(0, bytes);
    return place;
  }

  Future<int> connect(InternetAddress address, int port, {InternetAddress? source, int sourcePort = 0}) => _result(
    (id) => tcp_connect(
      id,
      _addressAt(0, address),
      address.rawAddress.length,
      port,
      source == null ? nullptr : _addressAt(1, source),
      source == null ? 0 : source.rawAddress.length,
      sourcePort,
    ),
  );

  Future<int> listen(InternetAddress address, int port, {bool v6Only = false, int backlog = 0, bool shared = false}) =>
      _result((id) => tcp_listen(id, _addressAt(0, address), address.rawAddress.length, port, v6Only, backlog, shared));

  Future<int> accept(int listener) => _result((id) => tcp_accept(id, listener));

  Future<int> closeListener(int listener, {bool force = false}) =>
      _result((id) => tcp_listener_close(id, listener, force));

  Future<Uint8List> read(int handle) async => (await _success((id) => tcp_read(id, handle)))[1] as Uint8List;

  /// Sends [count] bytes from [offset] on, by default all there are.
  Future<int> write(int handle, Uint8List data, {int offset = 0, int? count}) =>
      _result((id) => tcp_write(id, handle, data.address, offset, count ?? data.length - offset));

  Future<int> closeWrite(int handle) => _result((id) => tcp_close_write(id, handle));

  Future<int> close(int handle) => _result((id) => tcp_close(id, handle));

  /// Reads to the end of the stream.
  Future<Uint8List> readAll(int handle) async {
    final bytes = BytesBuilder(copy: false);
    await for (final data in stream(handle)) {
      bytes.add(data);
    }
    return bytes.takeBytes();
  }

  /// Reads [count] bytes, and none beyond if the peer sends no more for now.
  Future<Uint8List> readExactly(int handle, int count) async {
    final bytes = BytesBuilder(copy: false);
    while (bytes.length < count) {
      bytes.add(await read(handle));
    }
    return bytes.takeBytes();
  }

  /// What the peer sends, until the end of the stream.
  Stream<Uint8List> stream(int handle) async* {
    while (true) {
      final Uint8List data;
      try {
        data = await read(handle);
      } on TcpException catch (exception) {
        if (exception.code == TCP_ERR_CLOSED) return;
        rethrow;
      }
      yield data;
    }
  }

  InternetAddress localAddress(int handle) {
    final bytes = Uint8List(16);
    final length = check(tcp_get_local_address(handle, bytes.address));
    return InternetAddress.fromRawAddress(Uint8List.sublistView(bytes, 0, length));
  }

  InternetAddress remoteAddress(int handle) {
    final bytes = Uint8List(16);
    final length = check(tcp_get_remote_address(handle, bytes.address));
    return InternetAddress.fromRawAddress(Uint8List.sublistView(bytes, 0, length));
  }

  int localPort(int handle) => check(tcp_get_local_port(handle));

  int remotePort(int handle) => check(tcp_get_remote_port(handle));
}

@Native<Pointer<Uint8> Function(Size, Size)>(symbol: 'calloc', isLeaf: true)
external Pointer<Uint8> _calloc(int count, int size);

@Native<Void Function(Pointer<Uint8>)>(symbol: 'free', isLeaf: true)
external void _free(Pointer<Uint8> memory);
