// The part of tools/format that is for Dart: node format_dart.mjs [--check] FORMATTER FILE...
//
// The style depends on two things, which `dart format` finds and the formatter wants to be told:
// - the language version: that of the file's package. Before 3.7 it is the "short" style, from then on the "tall" one.
//   `dart format` reads it from what `dart pub get` wrote, here it is the lower bound of the SDK in pubspec.yaml. The
//   newest that the formatter knows is for files outside of packages.
// - the width of the page: that in the nearest analysis_options.yaml, else 80.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const arguments_ = process.argv.slice(2);
const check = arguments_[0] === '--check';
const [formatter, ...files] = arguments_.slice(check ? 1 : 0);
const { format } = await import(pathToFileURL(formatter));

// The text of the nearest file of this name, from the directory upwards.
function nearest(name, directory) {
  const path = join(directory, name);
  if (existsSync(path)) return readFileSync(path, 'utf8');
  const parent = dirname(directory);
  return parent === directory ? '' : nearest(name, parent);
}

function configurationOf(file) {
  const directory = dirname(resolve(file));
  const version = /^ +sdk: *["']?(?:\^|>= *)(\d+\.\d+)/m.exec(nearest('pubspec.yaml', directory));
  const width = /^formatter:.*(?:\n+ .*)*?\n+ +page_width: *(\d+)/m.exec(nearest('analysis_options.yaml', directory));
  return {
    language_version: version ? `${version[1]}.0` : undefined,
    line_width: width ? Number(width[1]) : 80,
  };
}

// A diff on standard output.
function show(file, formatted) {
  const labels = ['--label', file, '--label', `${file} (formatted)`];
  spawnSync('diff', ['-u', ...labels, file, '-'], { input: formatted, stdio: ['pipe', 'inherit', 'inherit'] });
}

for (const file of files) {
  try {
    const source = readFileSync(file, 'utf8');
    const formatted = format(source, file, configurationOf(file));
    if (formatted === source) continue;
    if (check) {
      show(file, formatted);
      process.exitCode = 1;
    } else {
      writeFileSync(file, formatted);
    }
  } catch (error) {
    console.error(`tools/format: ${file}: ${error.message}`);
    process.exitCode = 1;
  }
}
