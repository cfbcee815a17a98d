/// A certificate for localhost and 127.0.0.1 that has signed itself, valid for a hundred years.
library;

import 'dart:convert';
import 'dart:io';

/// Who has it.
SecurityContext servingContext() => SecurityContext()
  ..useCertificateChainBytes(utf8.encode(certificate))
  ..usePrivateKeyBytes(utf8.encode(certificateKey));

/// Who trusts it, and nobody else.
SecurityContext trustingContext() => SecurityContext()..setTrustedCertificatesBytes(utf8.encode(certificate));

/// In PEM.
const certificate = '''
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

/// The key that belongs to [certificate].
const certificateKey = '''
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+eoUWqc/OUJIc1ib
d0v3m0MhM061eFOnMZkdvizKidahRANCAARZcN9PfqYYw0fPAtqX4PxJ+hlHgT+1
Sqrpg4y1LrVgobbpOhc32k4p6CpSZ6RkVn7F4y5CI7rIlseRuhH14CkR
-----END PRIVATE KEY-----
''';

/// Another one, for other.test, which has signed itself as well.
const otherCertificate = '''
-----BEGIN CERTIFICATE-----
MIIBmDCCAT6gAwIBAgIUKDijMyOBAalkKkEK9T6zO8Z4jgcwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKb3RoZXIudGVzdDAgFw0yNjExMjgyMDQ0NDhaGA8yMTI2MTEw
NDIwNDQ0OFowFTETMBEGA1UEAwwKb3RoZXIudGVzdDBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABOum3xUwZHiUt7i0XpEwum59gKuJHnkR/fhAbJ0F+6EStXTYxO4K
+/ihm3D3n4Pu6xRF9F3kNoXEH7VgJ73Yj7SjajBoMB0GA1UdDgQWBBQsEQcy8/JU
Lpp5lJdwUrzYRtth1DAfBgNVHSMEGDAWgBQsEQcy8/JULpp5lJdwUrzYRtth1DAP
BgNVHRMBAf8EBTADAQH/MBUGA1UdEQQOMAyCCm90aGVyLnRlc3QwCgYIKoZIzj0E
AwIDSAAwRQIhAMSwY31a7ko1snZJ1Nkyvocc0/XBRaxnBkrYrdWu6NBXAiBoeK5a
mSDu8wA9HhlJiRiD3bPwfLqTn2BrpE8vI8mWUw==
-----END CERTIFICATE-----
''';

/// The key that belongs to [otherCertificate].
const otherKey = '''
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5Ys+DmT5uyQT0xN7
alkwKKh1C9dTnFsuA2JTmx2HwQehRANCAATrpt8VMGR4lLe4tF6RMLpufYCriR55
Ef34QGydBfuhErV02MTuCvv4oZtw95+D7usURfRd5DaFxB+1YCe92I+0
-----END PRIVATE KEY-----
''';
