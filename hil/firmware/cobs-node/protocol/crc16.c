#include "crc16.h"

uint16_t crc16(const uint8_t *data, size_t count)
{
    uint16_t value = 0xffff;

    while (count--) {
        value = (uint16_t)(value ^ (uint16_t)(*data++ << 8));
        for (int bit = 0; bit < 8; bit++)
            value = (uint16_t)(value & 0x8000 ? (value << 1) ^ 0x1021 : value << 1);
    }
    return value;
}
