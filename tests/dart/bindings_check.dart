/// Compares bindings.dart with the headers, by their texts: constants and their values, functions
/// and their types.
///
///     dart tests/dart/bindings_check.dart
library;

import 'dart:io';

/// The spellings of a C type in the header, and its type in an @Native function.
const nativeTypes = {
  'void': 'Void',
  'bool': 'Bool',
  'int64_t': 'Int64',
  'void *': 'Pointer<Void>',
  'uint8_t *': 'Pointer<Uint8>',
  'const uint8_t *': 'Pointer<Uint8>',
  'const char *': 'Pointer<Char>',
};

/// What oche.h declares for isolates; the rest of it is for programs in C.
const alsoBound = {
  'oche_isolate_enable',
  'oche_last_error',
  'oche_error_text',
  'oche_error_name',
  'oche_version',
};

/// What tcp_socket.h and oche.h say must not be a leaf call, under "Threads" and at the function.
const notLeaf = {
  'tcp_init',
  'tcp_destroy',
  'tcp_connect',
  'tcp_listen',
  'tcp_set_keep_alive',
  'tcp_set_no_delay',
  'oche_isolate_enable',
};

void main() {
  final here = File.fromUri(Platform.script).parent.path;
  String read(String path) => File('$here/$path').readAsStringSync();
  final contract = read('../../client/include/oche/tcp_socket.h');
  final extensions = read('../../client/include/oche/oche.h');
  final bindings = read('bindings.dart');

  final bound = functionsOfDart(bindings), declared = functionsOfC(contract);
  final others = functionsOfC(extensions);
  for (final name in alsoBound) {
    declared[name] = others[name] ?? 'nothing in oche.h';
  }

  compare('the bindings have every error code of the header', {
    ...constantsOfC(contract),
    ...featuresOfC(extensions),
  }, constantsOfDart(bindings));
  compare('the bindings have every function of the header, with its types', declared, {
    for (final MapEntry(:key, :value) in bound.entries) key: value.type,
  });
  compare(
    'the bindings are leaf calls where the header allows it',
    {for (final name in bound.keys) name: !notLeaf.contains(name)},
    {for (final MapEntry(:key, :value) in bound.entries) key: value.isLeaf},
  );
}

void compare(String name, Map<String, Object> expected, Map<String, Object> actual) {
  final differences = [
    if (expected.isEmpty) 'nothing was found in the header',
    for (final key in {...expected.keys, ...actual.keys})
      if (expected[key] != actual[key])
        '$key is ${actual[key] ?? 'missing'} here and ${expected[key] ?? 'missing'} there',
  ];
  print(differences.isEmpty ? 'PASS $name' : 'FAIL $name: ${differences.join('; ')}');
  if (differences.isNotEmpty) exitCode = 1;
}

Map<String, int> constantsOfC(String header) => {
  for (final match in RegExp(r'#define (TCP_ERR_\w+) \((-\d+)\)').allMatches(header))
    match[1]!: int.parse(match[2]!),
};

Map<String, int> featuresOfC(String header) => {
  for (final match in RegExp(r'(OCHE_FEATURE_\w+) = 1 << (\d+)').allMatches(header))
    match[1]!: 1 << int.parse(match[2]!),
};

Map<String, int> constantsOfDart(String text) => {
  for (final match in RegExp(r'const (\w+) = (-?\d+)( << (\d+))?;').allMatches(text))
    match[1]!: int.parse(match[2]!) << int.parse(match[4] ?? '0'),
};

/// The native type of each function.
Map<String, String> functionsOfC(String header) {
  final code = header.replaceAll(RegExp(r'/\*.*?\*/', dotAll: true), '');
  final prototype = RegExp(r'^(\w[\w ]*?[ *]+)((?:tcp|oche)_\w+)\(([^)]*)\);', multiLine: true);
  return {
    for (final match in prototype.allMatches(code)) match[2]!: functionType(match[1]!, match[3]!),
  };
}

String functionType(String result, String parameters) {
  final types = [
    for (final parameter in parameters.split(','))
      if (parameter.trim() != 'void') nativeType(parameter.replaceFirst(RegExp(r'\w+\s*$'), '')),
  ];
  return '${nativeType(result)} Function(${types.join(', ')})';
}

String nativeType(String type) {
  final spelling = type.replaceAll(RegExp(r'\s+'), ' ').trim();
  return nativeTypes[spelling] ?? 'of C ($spelling)';
}

Map<String, ({String type, bool isLeaf})> functionsOfDart(String text) {
  final binding = RegExp(r'@Native<([^;]*?)>\((isLeaf: true)?\)\s*external [\w<>]+ (\w+)\(');
  return {
    for (final match in binding.allMatches(text))
      match[3]!: (type: match[1]!, isLeaf: match[2] != null),
  };
}
