/// Internet addresses as the library has them: 4 or 16 bytes, or 20, where the last four are the scope id of a
/// link-local address (see `oche/oche.h`).
library;

import 'dart:ffi';
import 'dart:io' show InternetAddress, InternetAddressType;
import 'dart:typed_data';

import 'bindings.dart';
import 'native.dart';

/// The longest of them.
const addressSize = _scopeOffset + 4;

const _scopeOffset = 16;

/// Writes [address] to [place], which has room for [addressSize] bytes, and returns its length; 0 for an address that is
/// none of the Internet.
int putAddress(Pointer<Uint8> place, InternetAddress address) {
  // The bytes of a Unix-domain address are a path, which may be as long as another address.
  if (address.type == InternetAddressType.unix) return 0;
  final raw = address.rawAddress;
  place.asTypedList(raw.length).setAll(0, raw);
  final scope = _scopeOf(address);
  if (scope == 0) return raw.length;
  (place + _scopeOffset).cast<Uint32>().value = scope;
  return addressSize;
}

/// The number of the interface that [address] names, as in `fe80::1%eth0`; 0 if it names none, or there is none.
int _scopeOf(InternetAddress address) {
  final text = address.address, percent = text.indexOf('%');
  if (percent < 0) return 0;
  final name = text.substring(percent + 1);
  final number = interfaceNumber(name);
  return number == 0 ? int.tryParse(name) ?? 0 : number;
}

/// The address of 4 or 16 [bytes] in network order, with the name of the interface that [scope] is the number of, if it is
/// not 0.
InternetAddress addressOf(Uint8List bytes, int scope) {
  final address = InternetAddress.fromRawAddress(bytes);
  if (scope == 0) return address;
  return InternetAddress.tryParse('${address.address}%${interfaceName(scope) ?? scope}') ?? address;
}
