/// Collections of garbage, which finalizers wait for.
library;

import 'dart:typed_data';

import 'testing.dart';

/// Enough to collect both generations of the heap.
void makeGarbage() {
  var survivors = <Uint8List>[];
  for (var i = 0; i < 2000; i++) {
    final list = Uint8List(64 << 10);
    if (i % 16 == 0) survivors.add(list);
    if (survivors.length == 100) survivors = [];
  }
}

/// Makes garbage until the condition holds.
Future<void> whenCollected(bool Function() condition, String what) => eventually(() {
      if (condition()) return true;
      makeGarbage();
      return false;
    }, what);
