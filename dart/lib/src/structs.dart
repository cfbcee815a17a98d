/// The structs of `oche/oche.h` that the package fills in. The names are those of C in Dart's spelling; the header says
/// what they mean. Each begins with its size, which [sizeOf] knows.
library;

import 'dart:ffi';

/// `oche_session`
final class OcheSession extends Opaque {}

/// `struct oche_listen_options`
final class OcheListenOptions extends Struct {
  @Size()
  external int size;
  external Pointer<Uint8> address;
  @Size()
  external int addressLength;
  @Uint16()
  external int port;
  @Bool()
  external bool v6Only;
  @Bool()
  external bool shared;
  @Uint32()
  external int backlog;
  @Uint32()
  external int scopeId;
  @Bool()
  external bool durable;
  @Int64()
  external int tlsContext;
}

/// `struct oche_tls_identity`
final class OcheTlsIdentity extends Struct {
  external Pointer<Uint8> chain;
  @Size()
  external int chainLength;
  external Pointer<Uint8> key;
  @Size()
  external int keyLength;
  external Pointer<Uint8> passphrase;
}

/// `struct oche_tls_options`
final class OcheTlsOptions extends Struct {
  @Size()
  external int size;
  external Pointer<OcheTlsIdentity> identities;
  @Size()
  external int identityCount;
  @Uint32()
  external int trust;
  external Pointer<Uint8> roots;
  @Size()
  external int rootsLength;
  external Pointer<Uint8> protocols;
  @Size()
  external int protocolsLength;
  @Uint32()
  external int versionMin;
  @Uint32()
  external int versionMax;
  external Pointer<Uint8> ciphers;
  external Pointer<Uint8> suites;
  external Pointer<Uint8> groups;
  @Uint32()
  external int clientCertificate;
}

/// `struct oche_secure_options`
final class OcheSecureOptions extends Struct {
  @Size()
  external int size;
  @Int64()
  external int tlsContext;
  external Pointer<Uint8> serverName;
  external Pointer<Uint8> unread;
  @Size()
  external int unreadLength;
  @Bool()
  external bool asks;
}
