/// Finding liboche: which file the `@Native` functions of `bindings.dart` come from.
library;

import 'dart:ffi';
import 'dart:io' show Platform;

import 'bindings.dart';
import 'exceptions.dart';
import 'native.dart';

/// What the system's linker looks for along its own path.
const _systemNames = ['liboche.so.0', 'liboche.so'];

/// For the package itself: what [useOcheLibrary] was told, which is an isolate's.
String? chosenLibrary;
bool _found = false;

/// Makes this process take liboche from [path], and from nowhere else. Call it before anything else of the package.
///
/// By default the library is the one that is bundled with the program or already loaded, else the file that
/// `OCHE_LIBRARY` names in the environment, else `liboche.so` from the system's library path. There is one library in
/// a process, for all isolates: whoever comes first decides. The daemon is found beside it.
///
/// Throws a [StateError] if there is a library already. Whether [path] is one shows when it is needed.
void useOcheLibrary(String path) {
  if (_found || _isLoaded()) {
    throw StateError('useOcheLibrary("$path") comes too late: liboche is loaded already');
  }
  chosenLibrary = path;
}

/// Sees to it that the functions of `bindings.dart` can be called, or throws a [LibraryNotFoundException] that lists
/// what was tried.
void findLibrary() {
  if (_found) return;
  final tried = <String>[];
  _found = _isLoaded() || _candidates(tried).any((path) => _load(path, tried));
  if (!_found) throw LibraryNotFoundException(tried);
}

Iterable<String> _candidates(List<String> tried) sync* {
  if (chosenLibrary case final path?) {
    yield path; // and nothing else: whoever names a file means that one
  } else if (Platform.environment['OCHE_LIBRARY'] case final path? when path.isNotEmpty) {
    yield path;
  } else {
    tried.add('OCHE_LIBRARY is not set in the environment');
    yield* _systemNames;
  }
}

/// Whether the functions are there: bundled with the program, preloaded, or loaded by another isolate.
bool _isLoaded() {
  try {
    Native.addressOf<NativeFunction<Int64 Function()>>(tcp_destroy);
    return true;
  } on ArgumentError {
    return false;
  }
}

const _rtldNow = 2;
const _rtldGlobal = 0x100; // of Linux; other systems have other numbers

final _process = DynamicLibrary.process();
final _dlopen = _process
    .lookupFunction<Pointer<Void> Function(Pointer<Uint8>, Int), Pointer<Void> Function(Pointer<Uint8>, int)>('dlopen');
final _dlerror = _process.lookupFunction<Pointer<Uint8> Function(), Pointer<Uint8> Function()>('dlerror');

/// Where nothing is bundled, `@Native` functions are looked up among the global symbols of the process. A library that
/// [DynamicLibrary.open] loads does not add to these; one that dlopen() loads with RTLD_GLOBAL does.
bool _load(String path, List<String> tried) {
  final name = cString(path);
  try {
    final errorOf = _dlerror;
    if (_dlopen(name, _rtldNow | _rtldGlobal) == nullptr) {
      final reason = errorOf();
      tried.add(reason == nullptr ? path : dartString(reason));
    } else if (_isLoaded()) {
      return true;
    } else {
      tried.add('$path: not liboche, it has no function tcp_destroy');
    }
    return false;
  } finally {
    free(name);
  }
}
