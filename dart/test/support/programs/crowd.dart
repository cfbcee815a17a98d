/// Many connections write at once, more than the daemon takes.
library;

import 'package:oche/oche.dart';

import '../pairs.dart';
import '../testing.dart';

Future<void> main() async {
  const count = 30, each = 1 << 20;
  final all = [for (var i = 0; i < count; i++) await Mixed.open()];
  final sent = [for (var i = 0; i < 5; i++) pattern(each, i)];
  final done = [
    for (final (i, mixed) in all.indexed) ...[
      mixed.connection.write(sent[i % 5]),
      mixed.connection.write([i]),
      if (i % 3 == 0) mixed.connection.flush(),
      if (i % 3 == 1) mixed.connection.closeWrite(),
      if (i % 3 == 2) mixed.connection.close(),
    ],
  ];
  for (final (i, mixed) in all.indexed) {
    await mixed.peer.receive(each + 1);
    expect(mixed.peer.sum, checksum([i], checksum(sent[i % 5])), 'the checksum');
  }
  await Future.wait(done);
  for (final mixed in all) {
    await mixed.close();
  }
  print('all came');
}
