/// TLS in the daemon, by the names of dart:io.
///
/// A file that uses TLS of dart:io moves over by its imports:
///
/// ```dart
/// import 'dart:io' hide SecureServerSocket, SecureSocket, SecurityContext;
/// import 'package:oche/secure.dart';
/// ```
///
/// [HttpClient], and what is built on it, needs no more than `runWithOche`. A server changes one line:
///
/// ```dart
/// final context = SecurityContext()
///   ..useCertificateChain('server.pem')
///   ..usePrivateKey('server.key');
/// final server = HttpServer.listenOn(await SecureServerSocket.bind('0.0.0.0', 443, context));
/// ```
///
/// When a certificate has been renewed, say so to the context and call [TlsContext.apply]: the server goes on.
library;

import 'src/io/secure_server_socket.dart' show OcheSecureServerSocket;
import 'src/io/secure_socket.dart' show OcheSecureSocket;
import 'src/tls/context.dart' show TlsContext;

export 'src/io/secure_server_socket.dart' show OcheSecureServerSocket;
export 'src/io/secure_socket.dart' show OcheSecureSocket;
export 'src/tls/certificate.dart' show PeerCertificate;
export 'src/tls/context.dart' show ClientCertificate, TlsContext;
export 'src/tls/securing.dart' show OnBadCertificate, SecureConnection, TlsSession;

/// By the name that dart:io has for it.
typedef SecureSocket = OcheSecureSocket;

/// By the name that dart:io has for it.
typedef SecureServerSocket = OcheSecureServerSocket;

/// By the name that dart:io has for it.
typedef SecurityContext = TlsContext;
