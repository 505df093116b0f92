/* Consistent Overhead Byte Stuffing. Source: Cheshire and Baker, IEEE/ACM Transactions on Networking 7 (1999) 2. */
#ifndef COBS_H
#define COBS_H

#include <stddef.h>
#include <stdint.h>

/* What `count` bytes take at most, the zero that ends a frame not included. */
#define COBS_STUFFED_MAX(count) ((count) + (count) / 254 + 1)

/* Write `data` without zeros to `stuffed`, which has room for COBS_STUFFED_MAX(count); return how many bytes. */
size_t cobs_stuff(const uint8_t *data, size_t count, uint8_t *stuffed);

/*
 * Turn a stuffed frame, without its closing zero, into the data that it stands for, in place.
 * Return how many bytes, or -1 if it stands for none: a code points past the end, or a zero is in it.
 */
int cobs_unstuff(uint8_t *frame, size_t count);

#endif
