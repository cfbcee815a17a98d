/// What the calls that take a handle say of it.
library;

import 'dart:ffi';
import 'dart:typed_data';

import 'package:oche/src/bindings.dart';

import 'testing.dart';

/// What each of these calls returns.
Map<String, int> resultsOf(int handle) => {
  'tcp_read': tcp_read(1, handle),
  'tcp_write': tcp_write(1, handle, Uint8List(1).address, 0, 1),
  'tcp_close_write': tcp_close_write(1, handle),
  'tcp_close': tcp_close(1, handle),
  'tcp_accept': tcp_accept(1, handle),
  'tcp_listener_close': tcp_listener_close(1, handle, false),
  'tcp_get_local_address': tcp_get_local_address(handle, Uint8List(16).address),
  'tcp_get_remote_address': tcp_get_remote_address(handle, Uint8List(16).address),
  'tcp_get_local_port': tcp_get_local_port(handle),
  'tcp_get_remote_port': tcp_get_remote_port(handle),
  'tcp_get_keep_alive': tcp_get_keep_alive(handle),
  'tcp_get_no_delay': tcp_get_no_delay(handle),
  'tcp_set_keep_alive': tcp_set_keep_alive(handle, true),
  'tcp_set_no_delay': tcp_set_no_delay(handle, true),
};

void expectAllRefused(int handle, int code) {
  for (final MapEntry(key: name, value: result) in resultsOf(handle).entries) {
    expect(result, code, name);
  }
}
