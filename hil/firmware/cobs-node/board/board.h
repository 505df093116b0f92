/* What the node needs of a board: the whole port to another microcontroller is one folder that defines these. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node.h"

/* Start clock and UART (115200 baud, 8N1: PROTOCOL 1). */
void board_init(void);

/* Milliseconds since power-on; wraps after 49.7 days. */
uint32_t board_now_ms(void);

/* Take the next byte that was received; false: there is none. Bytes wait here for as long as a frame takes to answer. */
bool board_receive(uint8_t *byte);

/* Send all bytes; returns when the last one has been handed to the UART. */
void board_send(const uint8_t *bytes, size_t count);

/* Sleep until something happens: a byte, or the next millisecond. */
void board_sleep(void);

/* What status tells of the machine itself. */
struct node_vitals board_vitals(void);

/* Read every sensor; what cannot be read is set to its missing value and raises NODE_SENSOR_FAILED. */
struct node_readings board_readings(void);

/* Send the valve on its way. */
void board_move_valve(struct node_order order);

/* Where the valve was sent last, in half percent: kept over a reset, not over the loss of power (PROTOCOL 5.1). */
uint8_t board_valve_order(void);

/* How many orders the valve was sent on its way with since power-on; a reset does not change it (PROTOCOL 4.4). */
uint16_t board_valve_orders(void);

/* This node's label. */
extern const struct node_identity board_identity;

#endif
