#include "cobs.h"

enum { LONGEST = 0xff }; /* the code of 254 bytes with no zero behind them */

size_t cobs_stuff(const uint8_t *data, size_t count, uint8_t *stuffed)
{
    size_t code_at = 0, end = 1;
    uint8_t code = 1;

    for (size_t at = 0; at < count; at++) {
        if (code == LONGEST) { /* full, and more comes */
            stuffed[code_at] = code;
            code_at = end++;
            code = 1;
        }
        if (data[at] != 0) {
            stuffed[end++] = data[at];
            code++;
        } else {
            stuffed[code_at] = code;
            code_at = end++;
            code = 1;
        }
    }
    stuffed[code_at] = code;
    return end;
}

int cobs_unstuff(uint8_t *frame, size_t count)
{
    size_t from = 0, to = 0;

    while (from < count) {
        const uint8_t code = frame[from++];

        if (code == 0 || (size_t)(code - 1) > count - from)
            return -1;
        for (uint8_t left = (uint8_t)(code - 1); left > 0; left--) {
            if (frame[from] == 0)
                return -1;
            frame[to++] = frame[from++];
        }
        if (code != LONGEST && from < count)
            frame[to++] = 0;
    }
    return (int)to;
}
