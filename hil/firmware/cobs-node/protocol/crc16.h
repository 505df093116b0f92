/* CRC-16/IBM-3740 (CRC-16/CCITT-FALSE): PROTOCOL.md 2. */
#ifndef CRC16_H
#define CRC16_H

#include <stddef.h>
#include <stdint.h>

/* Check value: crc16("123456789", 9) == 0x29b1. */
uint16_t crc16(const uint8_t *data, size_t count);

#endif
