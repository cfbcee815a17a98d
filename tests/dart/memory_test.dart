/// Received bytes are memory of the library, until the VM has collected the list.
library;

import 'dart:io';
import 'dart:typed_data';

import 'client.dart';
import 'peers.dart';
import 'testing.dart';

Future<void> main(List<String> arguments) {
  testClient('received data outlives collections of garbage and its connection', (client) async {
    final pair = await Pair.open(client);
    final (kept, sums) = await receive(client, pair, 50);
    makeGarbage();
    await client.close(pair.accepted);
    await client.close(pair.connected);
    makeGarbage();
    expect([for (final data in kept) checksum(data)], sums, 'the checksums');
  });

  test('received data outlives its session', () async {
    final client = Client.open();
    final (kept, sums) = await receive(client, await Pair.open(client), 50);
    await client.destroy();
    makeGarbage();
    expect([for (final data in kept) checksum(data)], sums, 'the checksums');
  });

  testClient('received data is given back', (client) async {
    const mebibyte = 1 << 20, total = 512 * mebibyte, allowed = 128 * mebibyte;
    final pair = await Pair.open(client);
    final chunk = pattern(mebibyte);
    final before = ProcessInfo.currentRss;
    var most = before;
    for (var received = 0; received < total; received += mebibyte) {
      final write = client.write(pair.connected, chunk);
      for (var missing = mebibyte; missing > 0;) {
        missing -= (await client.read(pair.accepted)).length;
      }
      await write;
      if (ProcessInfo.currentRss > most) most = ProcessInfo.currentRss;
    }
    final grown = (most - before) ~/ mebibyte;
    expectTrue(most - before < allowed, 'grew by $grown MiB, less than ${allowed ~/ mebibyte}');
  });

  return runTests(arguments);
}

/// Some lists as they were received, and their checksums.
Future<(List<Uint8List>, List<int>)> receive(Client client, Pair pair, int count) async {
  final kept = <Uint8List>[], sums = <int>[];
  for (var i = 0; i < count; i++) {
    final bytes = pattern(10000 + i, i);
    await client.write(pair.connected, bytes);
    var offset = 0;
    while (offset < bytes.length) {
      final data = await client.read(pair.accepted);
      kept.add(data);
      sums.add(checksum(Uint8List.sublistView(bytes, offset, offset + data.length)));
      offset += data.length;
    }
  }
  return (kept, sums);
}

/// Enough to collect both generations of the heap several times.
void makeGarbage() {
  var survivors = <Uint8List>[];
  for (var i = 0; i < 4000; i++) {
    final list = Uint8List(64 << 10)..fillRange(0, 64 << 10, 0xda);
    if (i % 16 == 0) survivors.add(list);
    if (survivors.length == 100) survivors = [];
  }
}
