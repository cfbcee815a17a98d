/// Certificates of peers.
library;

import 'dart:convert';
import 'dart:ffi';
import 'dart:io' show X509Certificate;
import 'dart:typed_data';

import '../bindings.dart';
import '../native.dart';

/// What can be asked about TLS: `enum oche_tls_item` in oche.h.
enum TlsItem {
  version(1),
  cipher(2),
  group(3),
  protocol(4),
  serverName(5),
  resumed(6),
  verification(7),
  failure(8),
  chain(9),
  ownCertificate(10),
  subject(11),
  issuer(12),
  validity(13),
  sha1(14);

  const TlsItem(this.number);

  /// That of C.
  final int number;

  static const _room = 32 * 1024;

  /// What the daemon says of the connection with the [handle]; null if it cannot, because the connection is gone. Waits for
  /// the daemon.
  Uint8List? of(int handle, [int room = _room]) => Scratch.use((scratch) {
        final bytes = scratch.allocateBytes(room);
        final count = oche_isolate_tls_info(handle, number, bytes, room);
        if (count > room) return of(handle, count);
        return count < 0 ? null : Uint8List.fromList(bytes.asTypedList(count));
      });

  /// The same for one that is a text; null also if there is nothing to say.
  String? textOf(int handle) {
    final bytes = of(handle);
    return bytes == null || bytes.isEmpty ? null : utf8.decode(bytes, allowMalformed: true);
  }
}

/// A certificate that a peer has shown.
final class PeerCertificate implements X509Certificate {
  PeerCertificate._(this.der, this.chain, this.subject, this.issuer, this.startValidity, this.endValidity, this.sha1);

  /// Null if the peer has shown none, or the connection is gone.
  static PeerCertificate? of(int handle) {
    final chain = _split(TlsItem.chain.of(handle) ?? Uint8List(0));
    if (chain.isEmpty) return null;
    final validity = (TlsItem.validity.textOf(handle) ?? '0 0').split(' ').map(int.parse).map(_time).toList();
    return PeerCertificate._(
      chain.first,
      chain,
      TlsItem.subject.textOf(handle) ?? '',
      TlsItem.issuer.textOf(handle) ?? '',
      validity.first,
      validity.last,
      TlsItem.sha1.of(handle) ?? Uint8List(0),
    );
  }

  static DateTime _time(int seconds) => DateTime.fromMillisecondsSinceEpoch(seconds * 1000, isUtc: true);

  /// DER says of each how long it is: two bytes, of which the second one is the length, or how many bytes have it.
  static List<Uint8List> _split(Uint8List all) {
    final certificates = <Uint8List>[];
    for (var at = 0; at + 2 <= all.length;) {
      final lengthBytes = all[at + 1] < 0x80 ? 0 : all[at + 1] & 0x7f;
      var length = lengthBytes == 0 ? all[at + 1] : 0;
      for (var i = 0; i < lengthBytes; i++) {
        length = length << 8 | all[at + 2 + i];
      }
      final end = at + 2 + lengthBytes + length;
      certificates.add(Uint8List.sublistView(all, at, end));
      at = end;
    }
    return certificates;
  }

  @override
  final Uint8List der;

  /// All that the peer has shown, this one first.
  final List<Uint8List> chain;

  @override
  final String subject;

  @override
  final String issuer;

  @override
  final DateTime startValidity;

  @override
  final DateTime endValidity;

  @override
  final Uint8List sha1;

  @override
  String get pem {
    final text = base64.encode(der);
    const width = 64;
    return [
      '-----BEGIN CERTIFICATE-----',
      for (var at = 0; at < text.length; at += width)
        text.substring(at, at + width < text.length ? at + width : text.length),
      '-----END CERTIFICATE-----',
      '',
    ].join('\n');
  }
}
