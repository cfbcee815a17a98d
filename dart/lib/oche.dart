/// TCP sockets that live outside the Dart process, in the oche daemon.
///
/// [Connection] and [Listener] are the whole of it; `package:oche/io.dart` has the interfaces of dart:io on top.
library;

export 'src/connection.dart' show Connection, ConnectionAttempt;
export 'src/exceptions.dart';
export 'src/library.dart' show useOcheLibrary;
export 'src/listener.dart' show Listener;
