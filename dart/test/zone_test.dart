/// Zones with a time of their own, such as those of tests that fake it: what the package does for itself does not depend
/// on them.
library;

import 'dart:async';
import 'dart:io';

import 'package:oche/io.dart';

import 'support/isolates.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) {
  // The first one, for it is about the first write of the program.
  test('the first write in a zone where nothing goes on holds up nobody else', () async {
    final pair = await Pair.open();
    standingStill(() => pair.connected.write([1]).ignore());
    await pair.connected.write([2]);
    expect(await readExactly(pair.accepted, 2), [1, 2], 'what came');
    await pair.close();
  });

  test('an isolate that has written in such a zone ends by itself', () async {
    final life = await Life.begin((arguments) async {
      final pair = await Pair.open();
      await turns(); // nothing of before is still to be done
      standingStill(() => pair.connected.write([1]).ignore());
      arguments.$1.send(await pair.accepted.read());
    }, null);
    expect(await life.next, [1]);
    await life.exited;
  });

  test(
      'a socket that is destroyed before all is sent leaves no timer in the zone',
      () => runWithOche(() async {
            final server = await ServerSocket.bind(loopback, 0);
            final accepted = server.first;
            final socket = await Socket.connect(loopback, server.port);
            final peer = await accepted;
            runZoned(
              () {
                socket.add(pattern(1000));
                socket.destroy();
              },
              zoneSpecification: ZoneSpecification(
                createTimer: (_, __, ___, ____, _____) => throw Failure('there is a timer'),
              ),
            );
            expect(await peer.fold<int>(0, (sum, data) => sum + data.length), 1000, 'how much came');
            peer.destroy();
          }));

  return runTests(arguments);
}

void standingStill(void Function() body) => runZoned(
      body,
      zoneSpecification: ZoneSpecification(scheduleMicrotask: (_, __, ___, ____) {}),
    );
