/// Bundles liboche with programs that use the package, for Dart 3.10 and later, if the program's pubspec.yaml says where
/// the library is:
///
/// ```yaml
/// hooks:
///   user_defines:
///     oche:
///       library: /usr/local/lib/liboche.so
/// ```
///
/// Otherwise nothing is bundled, and the library is looked for when the program runs.
///
/// It reads and writes the JSON of build hooks by itself: package:hooks would keep the whole package from older versions
/// of Dart.
library;

import 'dart:convert';
import 'dart:io';

void main(List<String> arguments) {
  final config = arguments.singleWhere((argument) => argument.startsWith('--config='));
  final input = jsonDecode(File(config.substring('--config='.length)).readAsStringSync());
  final library = switch (input) {
    {
      'config': {'build_asset_types': final List<Object?> types},
      'user_defines': {
        'workspace_pubspec': {'base_path': final String base, 'defines': {'library': final String path}},
      },
    }
        when types.contains('code_assets/code') =>
      File.fromUri(Directory(base).uri.resolve(path)),
    _ => null,
  };
  if (library != null && !library.existsSync()) {
    stderr.writeln('oche: hooks.user_defines.oche.library names ${library.path}, which does not exist');
    exit(1);
  }
  final output = switch (input) {
    {'out_file': final String path} => File(path),
    _ => throw const FormatException('a build hook\'s input without out_file'),
  };
  output.writeAsStringSync(
    jsonEncode({
      'status': 'success',
      'timestamp': DateTime.now().toString().split('.').first,
      'dependencies': [if (library != null) library.path],
      'assets': [
        if (library != null)
          {
            'type': 'code_assets/code',
            'encoding': {
              'id': 'package:oche/src/bindings.dart', // the library that declares the @Native functions
              'link_mode': {'type': 'dynamic_loading_bundle'},
              'file': library.path,
            },
          },
      ],
    }),
  );
}
