/// The bindings against the headers, by their texts: constants and their values, functions and their types.
library;

import 'dart:ffi';
import 'dart:io';

import 'package:oche/oche.dart';
import 'package:oche/src/bindings.dart';
import 'package:oche/src/library.dart';

import 'support/testing.dart';

/// The spellings of a C type in the header, and its type in an @Native function.
const nativeTypes = {
  'void': 'Void',
  'bool': 'Bool',
  'int64_t': 'Int64',
  'void *': 'Pointer<Void>',
  'uint8_t *': 'Pointer<Uint8>',
  'const uint8_t *': 'Pointer<Uint8>',
  'const char *': 'Pointer<Char>',
  'int32_t *': 'Pointer<Int32>',
  'oche_session *': 'Pointer<OcheSession>',
  'const struct oche_listen_options *': 'Pointer<OcheListenOptions>',
  'const struct oche_tls_options *': 'Pointer<OcheTlsOptions>',
  'const struct oche_secure_options *': 'Pointer<OcheSecureOptions>',
};

/// What oche.h has besides the functions whose names begin with oche_isolate_. The rest of it is for programs in C.
const alsoBound = {'oche_last_error', 'oche_error_text', 'oche_error_name', 'oche_version'};

/// Functions of oche.h that are called with the isolate's session.
const withSession = {
  'oche_listen',
  'oche_tls_context',
  'oche_tls_replace',
  'oche_secure',
  'oche_trust',
  'oche_close',
};

/// What may be a leaf call: in tcp_socket.h under "Threads"; in oche.h where it says so, and what only returns a text.
const leaf = {
  'tcp_read',
  'tcp_write',
  'tcp_close_write',
  'tcp_close',
  'tcp_accept',
  'tcp_listener_close',
  'tcp_get_local_address',
  'tcp_get_remote_address',
  'tcp_get_local_port',
  'tcp_get_remote_port',
  'tcp_get_keep_alive',
  'tcp_get_no_delay',
  'oche_isolate_get_local_address',
  'oche_isolate_get_remote_address',
  'oche_isolate_set_keep_alive',
  'oche_isolate_set_no_delay',
  'oche_isolate_abort',
  'oche_isolate_ahead',
  'oche_isolate_take',
  ...alsoBound,
};

String read(String path) => File.fromUri(Platform.script.resolve(path)).readAsStringSync();

final contract = read('../../client/include/oche/tcp_socket.h');
final extensions = read('../../client/include/oche/oche.h');
final bindings = read('../lib/src/bindings.dart');
final exceptions = read('../lib/src/exceptions.dart');

final declared = {
  ...functionsOfC(contract),
  for (final MapEntry(key: name, value: type) in functionsOfC(extensions).entries)
    if (name.startsWith('oche_isolate_') || alsoBound.contains(name) || withSession.contains(name)) name: type,
};
final bound = functionsOfDart(bindings);

Future<void> main(List<String> arguments) {
  test('the bindings have every function of the headers, with its types and names', () async {
    expectTrue(declared.keys.toSet().containsAll(alsoBound), 'oche.h has $alsoBound');
    expectSame({for (final MapEntry(:key, :value) in bound.entries) key: value.type}, declared);
  });

  test('the bindings have every error code and every feature of the headers', () async {
    expectSame(constantsOfDart(bindings), {
      ...codesOfC(contract),
      ...featuresOfC(extensions),
    });
  });

  test('the bindings are leaf calls where the headers allow it, and nowhere else', () async {
    expectSame(
      {for (final MapEntry(:key, :value) in bound.entries) key: value.isLeaf},
      {for (final name in declared.keys) name: leaf.contains(name)},
    );
  });

  test('the headers say of each function that is bound as a leaf call that it may be one', () async {
    final threads = RegExp(r'The others find the session.*?may be leaf calls', dotAll: true);
    final sentence = threads.stringMatch(contract)!;
    for (final name in leaf.where((name) => name.startsWith('tcp_'))) {
      final isGetter = name.startsWith('tcp_get_') && sentence.contains('the getters');
      expectTrue(isGetter || RegExp('$name\\b').hasMatch(sentence), 'tcp_socket.h allows $name');
    }
    final comment = RegExp(r'[Mm]ay be leaf calls\.\s+\*/\n(.*?)\n\n', dotAll: true);
    final allowed = comment.allMatches(extensions).map((match) => match[1]!).join();
    for (final name in leaf.where((name) => name.startsWith('oche_isolate_'))) {
      expectTrue(allowed.contains(name), 'oche.h allows $name');
    }
  });

  test('every function of the bindings is in the library', () async {
    findLibrary();
    final library = DynamicLibrary.process();
    expectTrue(bound.length > 20, 'there are bindings');
    expect([
      for (final name in bound.keys)
        if (!library.providesSymbol(name)) name,
    ], <String>[], 'what is missing');
  });

  test('each error code has a class of exceptions of its own', () async {
    findLibrary();
    final codes = codesOfC(contract);
    final classes = {
      for (final match in RegExp(r'class (\w+) extends OcheException\b').allMatches(exceptions)) match[1]!,
    };
    final ofCodes = {for (final code in codes.values) '${OcheException.of(code, '').runtimeType}'};
    expect(ofCodes.length, codes.length, 'the number of classes for ${codes.length} codes');
    expect('${OcheException.of(-1000, '').runtimeType}', 'UnknownErrorException');
    expectSame(
      {for (final name in classes) name: true},
      {
        for (final name in ofCodes) name: true,
        'UnknownErrorException': true,
        'LibraryNotFoundException': true,
      },
    );
  });

  test('an exception of a code has that code, and the text of the library', () async {
    findLibrary();
    for (final code in codesOfC(contract).values) {
      final exception = OcheException.of(code, 'read');
      expect(exception.code, code, 'the code');
      final text = oche_error_text(code).cast<Uint8>();
      expect(exception.message.codeUnits, [for (var i = 0; text[i] != 0; i++) text[i]]);
      expectTrue(exception.message.isNotEmpty, 'the message says something');
    }
  });

  return runTests(arguments);
}

void expectSame(Map<String, Object> actual, Map<String, Object> expected) {
  expectTrue(expected.isNotEmpty, 'something was found');
  final differences = [
    for (final key in {...expected.keys, ...actual.keys})
      if (expected[key] != actual[key])
        '$key is ${actual[key] ?? 'missing'} here and ${expected[key] ?? 'missing'} there',
  ];
  if (differences.isNotEmpty) throw Failure(differences.join('; '));
}

Map<String, int> codesOfC(String header) => {
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

/// The native type of each function, and the names of its parameters.
Map<String, String> functionsOfC(String header) {
  final code = header.replaceAll(RegExp(r'/\*.*?\*/', dotAll: true), '');
  final prototype = RegExp(r'^(\w[\w ]*?[ *]+)((?:tcp|oche)_\w+)\(([^)]*)\);', multiLine: true);
  return {
    for (final match in prototype.allMatches(code)) match[2]!: functionOfC(match[1]!, match[3]!),
  };
}

String functionOfC(String result, String parameters) {
  final types = <String>[], names = <String>[];
  for (final parameter in parameters.split(',')) {
    if (parameter.trim() == 'void') continue;
    final parts = RegExp(r'^(.*?)(\w+)\s*$', dotAll: true).firstMatch(parameter)!;
    types.add(nativeType(parts[1]!));
    names.add(parts[2]!);
  }
  return '${nativeType(result)} Function(${types.join(', ')}) of $names';
}

String nativeType(String type) {
  final spelling = type.replaceAll(RegExp(r'\s+'), ' ').trim();
  return nativeTypes[spelling] ?? 'of C ($spelling)';
}

Map<String, ({String type, bool isLeaf})> functionsOfDart(String text) {
  final code = text
      .replaceAll(RegExp('//.*'), '')
      .replaceAll(RegExp(r'\s+'), ' ')
      .replaceAll(RegExp(r'(?<=[(<]) | (?=[>)])|,(?= ?\))'), '');
  final binding = RegExp(r'@Native<([^;]*?)>\((isLeaf: true)?\) ?external [\w<>]+ (\w+)\(([^)]*)\)');
  return {
    for (final match in binding.allMatches(code))
      match[3]!: (
        type: '${match[1]} of ${[
          for (final parameter in match[4]!.split(','))
            if (parameter.isNotEmpty) parameter.trim().split(' ').last,
        ]}',
        isLeaf: match[2] != null,
      ),
  };
}
