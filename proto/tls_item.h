/*
 * What TLS_INFO asks for. The numbers are those of enum oche_tls_item in client/include/oche/oche.h, which says what
 * each of them is.
 */
#ifndef OCHE_PROTO_TLS_ITEM_H
#define OCHE_PROTO_TLS_ITEM_H

enum tls_item {
    TLS_ITEM_VERSION = 1,
    TLS_ITEM_CIPHER,
    TLS_ITEM_GROUP,
    TLS_ITEM_PROTOCOL,
    TLS_ITEM_SERVER_NAME,
    TLS_ITEM_RESUMED,
    TLS_ITEM_VERIFICATION,
    TLS_ITEM_FAILURE,
    TLS_ITEM_CHAIN,
    TLS_ITEM_OWN_CERTIFICATE,
    TLS_ITEM_SUBJECT,
    TLS_ITEM_ISSUER,
    TLS_ITEM_VALIDITY,
    TLS_ITEM_SHA1,
    TLS_ITEM_END,
};

#endif
