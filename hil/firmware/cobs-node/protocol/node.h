/*
 * The node of PROTOCOL.md: what it answers, what it says and when. Portable: no registers, no libc, no clock.
 * Bytes and milliseconds come in, whole frames (stuffed, with their closing zero) come out.
 *
 *     for each byte received:   size = node_take(&node, byte, wire);               send size bytes of wire, if any
 *     all the time:             switch (node_due(&node, now_ms)) { case NODE_MEASUREMENT: size = node_measurement(...
 */
#ifndef NODE_H
#define NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NODE_WIRE_MAX = 64,      /* PROTOCOL 2: bytes of a packet, stuffing and 00 included */
    NODE_SERIAL_BYTES = 6,
    NODE_FIRMWARE_BYTES = 12,
    NODE_MEASUREMENT_MS = 100, /* PROTOCOL 6 */
    NODE_STATUS_MS = 5000,
};

/* What stands for a value that is missing: PROTOCOL 4.1. */
#define NODE_NO_TEMPERATURE INT16_MIN
#define NODE_NO_U8 UINT8_MAX
#define NODE_NO_U16 UINT16_MAX
#define NODE_NO_PRESSURE 0xffffffu

enum node_mode { NODE_HOLDING, NODE_MOVING, NODE_MANUAL, NODE_BLOCKED };

enum node_alarm {
    NODE_OVER_TEMPERATURE = 1 << 0,
    NODE_UNDER_VOLTAGE = 1 << 1,
    NODE_VALVE_BLOCKED = 1 << 2,
    NODE_SENSOR_FAILED = 1 << 3,
};

enum node_restart { NODE_POWER_ON = 1, NODE_WATCHDOG, NODE_BROWN_OUT, NODE_SOFTWARE, NODE_RESET_PIN };

/* What a node says by itself, in the order in which it is due after power-on. */
enum node_message { NODE_NOTHING, NODE_IDENTITY, NODE_STATUS, NODE_ORDERS, NODE_MEASUREMENT };

struct node_identity {
    uint8_t serial_number[NODE_SERIAL_BYTES];
    uint8_t hardware;
    char firmware[NODE_FIRMWARE_BYTES]; /* UTF-8, the rest 0 */
};

struct node_readings {
    int16_t temperature_centicel;
    uint16_t humidity_centipercent;
    uint32_t pressure_pa;
    uint16_t flow_centilitres_per_min;
    uint16_t supply_mv;
    uint8_t valve_half_percent; /* where the valve is */
    enum node_mode mode;
    bool is_heater_on;
    uint8_t alarms; /* of enum node_alarm */
};

struct node_vitals {
    uint16_t restarts;
    enum node_restart restart_cause;
    uint8_t load_half_percent; /* of the last 5 s */
    uint16_t free_memory_bytes; /* the least there ever was */
};

/* Where the valve should go. */
struct node_order {
    uint8_t position_half_percent;
    uint8_t ramp_s; /* for the whole travel; 0: as fast as it can */
};

/* Initialise with node_init; look at order, mode; leave the rest alone. */
struct node {
    struct node_order order;
    bool has_new_order;  /* whoever moves the valve clears it */
    enum node_mode mode; /* a valve that is blocked or turned by hand takes no order; whoever moves it sets it */
    uint32_t frames_refused;

    struct node_identity identity;
    uint32_t start_ms, measurement_ms, status_ms;
    uint8_t counter;
    bool has_said_identity, has_said_orders;
    uint8_t received[NODE_WIRE_MAX];
    uint8_t received_bytes;
    bool is_too_long;
};

/* `position` is where the valve was sent last, which a reset does not change; at power-on, where it stands. */
void node_init(struct node *node, const struct node_identity *identity, uint32_t now_ms, uint8_t position);

/* Take one byte of the line. Return the size of the answer in `wire` (NODE_WIRE_MAX bytes), 0 for none. */
size_t node_take(struct node *node, uint8_t byte, uint8_t *wire);

/* Return what is due at `now_ms`, one at a time. It stays due until its frame is asked for. */
enum node_message node_due(const struct node *node, uint32_t now_ms);

/* Write a frame to `wire` (NODE_WIRE_MAX bytes), return its size; the next of its kind is then due a period later. */
size_t node_identity(struct node *node, uint8_t *wire);
size_t node_status(struct node *node, uint32_t now_ms, const struct node_vitals *vitals, uint8_t *wire);
size_t node_orders(struct node *node, uint16_t orders, uint8_t *wire);
size_t node_measurement(struct node *node, uint32_t now_ms, const struct node_readings *readings, uint8_t *wire);

#endif
