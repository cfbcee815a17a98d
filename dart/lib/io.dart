/// The sockets of dart:io, served by the oche daemon.
///
/// [runWithOche] sends code that was written for dart:io through the daemon, unchanged:
///
/// ```dart
/// import 'dart:io';
/// import 'package:oche/io.dart';
///
/// Future<void> main() => runWithOche(() async {
///   final server = await HttpServer.bind(InternetAddress.loopbackIPv4, 8080);
///   await for (final request in server) {
///     request.response.write('Hello!\n');
///     await request.response.close();
///   }
/// });
/// ```
///
/// [OcheSocket] and [OcheServerSocket] are the same sockets by name. [OcheRawSocket] is what TLS can be made on, by
/// [RawSecureSocket.secure], and [OcheIsolate] starts isolates that have sockets of the daemon as well.
library;

export 'src/exceptions.dart';
export 'src/io/http_client.dart' show OcheHttpOverrides;
export 'src/io/isolate.dart' show OcheIsolate;
export 'src/io/overrides.dart' show OcheOverrides, runWithOche;
export 'src/io/raw_socket.dart' show OcheRawSocket;
export 'src/io/server_socket.dart' show OcheServerSocket;
export 'src/io/socket.dart' show OcheSocket;
export 'src/library.dart' show useOcheLibrary;
