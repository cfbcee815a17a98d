/// The little of C's library that the package needs.
library;

import 'dart:convert';
import 'dart:ffi';
import 'dart:typed_data';

final _process = DynamicLibrary.process();

final _calloc = _process
    .lookupFunction<Pointer<Uint8> Function(Size, Size), Pointer<Uint8> Function(int, int)>('calloc', isLeaf: true);

final _malloc =
    _process.lookupFunction<Pointer<Uint8> Function(Size), Pointer<Uint8> Function(int)>('malloc', isLeaf: true);

final _free = _process.lookup<NativeFunction<Void Function(Pointer<Void>)>>('free');

/// Frees what [allocate] or [cString] returned.
final free =
    _process.lookupFunction<Void Function(Pointer<Uint8>), void Function(Pointer<Uint8>)>('free', isLeaf: true);

final _strerror = _process.lookupFunction<Pointer<Uint8> Function(Int), Pointer<Uint8> Function(int)>('strerror');

/// Zeroed memory, to be given to [free].
Pointer<Uint8> allocate(int bytes) {
  final memory = _calloc(1, bytes);
  if (memory == nullptr) throw OutOfMemoryError();
  return memory;
}

/// A list in memory that is not the collector's to zero and to move; null if there is none.
Uint8List? allocateList(int length) {
  final memory = _malloc(length);
  return memory == nullptr ? null : memory.asTypedList(length, finalizer: _free);
}

/// Memory for the arguments of a call, which goes with the call.
final class Scratch {
  Scratch._();

  final _blocks = <Pointer<Uint8>>[];

  /// Runs [call], and frees what it has taken.
  static R use<R>(R Function(Scratch scratch) call) {
    final scratch = Scratch._();
    try {
      return call(scratch);
    } finally {
      scratch._blocks.forEach(free);
    }
  }

  /// Zeroed memory.
  Pointer<Uint8> allocateBytes(int count) {
    final block = allocate(count);
    _blocks.add(block);
    return block;
  }

  /// A copy of [bytes]; `nullptr` for none.
  Pointer<Uint8> copy(List<int> bytes) =>
      bytes.isEmpty ? nullptr : (allocateBytes(bytes.length)..asTypedList(bytes.length).setAll(0, bytes));

  /// A copy of [text] that ends with 0; `nullptr` for none.
  Pointer<Uint8> string(String? text) {
    if (text == null) return nullptr;
    final copy = cString(text);
    _blocks.add(copy);
    return copy;
  }
}

/// A copy of [text] for C, to be given to [free].
Pointer<Uint8> cString(String text) {
  final bytes = utf8.encode(text);
  return allocate(bytes.length + 1)..asTypedList(bytes.length).setAll(0, bytes);
}

/// The C string at [text], which stays C's.
String dartString(Pointer<Uint8> text) {
  var length = 0;
  while (text[length] != 0) {
    length++;
  }
  return utf8.decode(text.asTypedList(length), allowMalformed: true);
}

final _ifNameToIndex =
    _process.lookupFunction<UnsignedInt Function(Pointer<Uint8>), int Function(Pointer<Uint8>)>('if_nametoindex');

final _ifIndexToName = _process.lookupFunction<Pointer<Uint8> Function(UnsignedInt, Pointer<Uint8>),
    Pointer<Uint8> Function(int, Pointer<Uint8>)>('if_indextoname');

/// The system's number of the network interface; 0 if there is none of that name.
int interfaceNumber(String name) {
  final text = cString(name);
  final number = _ifNameToIndex(text);
  free(text);
  return number;
}

/// The name of the network interface with the number, or null.
String? interfaceName(int number) {
  const size = 16; // IF_NAMESIZE
  final text = allocate(size);
  final name = _ifIndexToName(number, text) == nullptr ? null : dartString(text);
  free(text);
  return name;
}

/// What the system calls the error number.
String systemErrorText(int errno) => dartString(_strerror(errno));
