/*
 * Marks the functions of the public headers: everything else is hidden. liboche.lds lists them once
 * more, by name, so that no symbol gets out by accident.
 */
#ifndef OCHE_CLIENT_EXPORT_H
#define OCHE_CLIENT_EXPORT_H

#define EXPORT __attribute__((visibility("default")))

#endif
