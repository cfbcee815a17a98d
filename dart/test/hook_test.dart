/// The build hook, run as the tools of Dart 3.10 run it.
library;

import 'dart:convert';
import 'dart:io';

import 'support/environment.dart';
import 'support/testing.dart';

/// Runs the hook with these user defines; its exit code, what it wrote, and the directory that paths are relative to.
Future<(int, Map<String, Object?>?, Directory)> runHook(
  Map<String, Object?> defines, {
  List<String> types = const ['code_assets/code'],
}) async {
  final scratch = Directory.systemTemp.createTempSync('oche-hook-test-');
  try {
    File('${scratch.path}/liboche.so').createSync();
    final output = File('${scratch.path}/output.json');
    final input = File('${scratch.path}/input.json')
      ..writeAsStringSync(
        jsonEncode({
          'config': {'build_asset_types': types, 'linking_enabled': false},
          'out_file': output.path,
          'package_name': 'oche',
          'user_defines': {
            'workspace_pubspec': {'base_path': '${scratch.path}/', 'defines': defines},
          },
        }),
      );
    final script = Platform.script.resolve('../hook/build.dart').toFilePath();
    final [vm, ...options] = vmCommand;
    final result = await Process.run(vm, [
      ...options,
      script,
      '--config=${input.path}',
    ]);
    final written = output.existsSync() ? jsonDecode(output.readAsStringSync()) : null;
    return (result.exitCode, written as Map<String, Object?>?, scratch);
  } finally {
    scratch.deleteSync(recursive: true);
  }
}

Future<void> main(List<String> arguments) {
  test('the build hook bundles the library that the pubspec of the program names', () async {
    final (code, output, scratch) = await runHook({'library': 'liboche.so'});
    expect(code, 0, 'exit code');
    expect(
        '${output!['assets']}',
        '${[
          {
            'type': 'code_assets/code',
            'encoding': {
              'id': 'package:oche/src/bindings.dart',
              'link_mode': {'type': 'dynamic_loading_bundle'},
              'file': '${scratch.path}/liboche.so',
            },
          },
        ]}',
        'assets');
    expect('${output['dependencies']}', '[${scratch.path}/liboche.so]', 'dependencies');
  });

  test('the build hook bundles nothing when no library is named', () async {
    final (code, output, _) = await runHook({});
    expect(code, 0, 'exit code');
    expect('${output!['assets']}', '[]', 'assets');
  });

  test('the build hook bundles nothing when no code is asked for', () async {
    final (_, output, _) = await runHook({'library': 'liboche.so'}, types: []);
    expect('${output!['assets']}', '[]', 'assets');
  });

  test('the build hook fails when the library that is named does not exist', () async {
    final (code, output, _) = await runHook({'library': 'elsewhere.so'});
    expect(code, 1, 'exit code');
    expect(output, null, 'output');
  });

  return runTests(arguments);
}
