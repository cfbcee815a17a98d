/// A certificate for localhost and 127.0.0.1 that has signed itself, valid for a hundred years.
library;

import 'dart:convert';
import 'dart:io';

/// Who has it.
SecurityContext servingContext() => SecurityContext()
  ..useCertificateChainBytes(utf8.encode(_certificate))
  ..usePrivateKeyBytes(utf8.encode(_key));

/// Who trusts it, and nobody else.
SecurityContext trustingContext() => SecurityContext()..setTrustedCertificatesBytes(utf8.encode(_certificate));

const _certificate = '''
-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUFlv7cQczQNtCKIX/ouvKwkWjXjUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODAyNDY1NVoYDzIxMjYxMTA0
MDI0NjU1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARZcN9PfqYYw0fPAtqX4PxJ+hlHgT+1Sqrpg4y1LrVgobbpOhc32k4p
6CpSZ6RkVn7F4y5CI7rIlseRuhH14CkRo28wbTAdBgNVHQ4EFgQU5K+jFFwxC9Aa
DRiqpTMMk3P7c0wwHwYDVR0jBBgwFoAU5K+jFFwxC9AaDRiqpTMMk3P7c0wwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhANRhVAteAmAiIjtRwu6wGm/2ya7WO15PJNsiSdXjes6xAiEA
vM6MB5EEhvT2pMo06tAYacU9Yw8iJtNewl4w/EFJ/Ow=
-----END CERTIFICATE-----
''';

const _key = '''
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+eoUWqc/OUJIc1ib
d0v3m0MhM061eFOnMZkdvizKidahRANCAARZcN9PfqYYw0fPAtqX4PxJ+hlHgT+1
Sqrpg4y1LrVgobbpOhc32k4p6CpSZ6RkVn7F4y5CI7rIlseRuhH14CkR
-----END PRIVATE KEY-----
''';
