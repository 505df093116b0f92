#include "node.h"

#include "cobs.h"
#include "crc16.h"

enum { CRC_BYTES = 2, BODY_MAX = NODE_WIRE_MAX - CRC_BYTES - 2 }; /* less one code and the closing 00 */

enum type { MEASUREMENT = 0x01, STATUS = 0x02, IDENTITY = 0x03, ORDERS = 0x04, SET_VALVE = 0x10, ACK = 0x11, ASK_IDENTITY = 0x12 };

enum result { ACCEPTED, OUT_OF_RANGE, VALVE_BLOCKED, MANUAL, UNKNOWN_COMMAND };

enum { POSITION_MAX = 200, RAMP_MAX_S = 240 };

/* ---- writing -------------------------------------------------------------------------------------------------- */

struct body {
    uint8_t bytes[BODY_MAX + CRC_BYTES];
    size_t size;
};

static void put(struct body *body, uint32_t value, int count)
{
    while (count-- > 0) { /* little-endian: PROTOCOL 3 */
        body->bytes[body->size++] = (uint8_t)value;
        value >>= 8;
    }
}

static void put_bytes(struct body *body, const void *data, int count)
{
    const uint8_t *from = data;

    while (count-- > 0)
        body->bytes[body->size++] = *from++;
}

static size_t sealed(struct body *body, uint8_t *wire)
{
    const uint16_t check = crc16(body->bytes, body->size);

    body->bytes[body->size++] = (uint8_t)(check >> 8); /* the CRC alone goes high byte first */
    body->bytes[body->size++] = (uint8_t)check;
    const size_t size = cobs_stuff(body->bytes, body->size, wire);
    wire[size] = 0;
    return size + 1;
}

static struct body begun(struct node *node, enum type type)
{
    struct body body;

    body.size = 0;
    put(&body, type, 1);
    put(&body, node->counter++, 1);
    return body;
}

/*
 * The next time on the grid that is half a period away at least: late ones are skipped, not caught up, and two are never
 * so near each other that a valve on its way seems to stand still.
 */
static uint32_t next(uint32_t due_ms, uint32_t period_ms, uint32_t now_ms)
{
    return due_ms + period_ms * ((now_ms - due_ms + period_ms / 2) / period_ms + 1);
}

size_t node_identity(struct node *node, uint8_t *wire)
{
    struct body body = begun(node, IDENTITY);

    put_bytes(&body, node->identity.serial_number, NODE_SERIAL_BYTES);
    put(&body, node->identity.hardware, 1);
    put_bytes(&body, node->identity.firmware, NODE_FIRMWARE_BYTES);
    node->has_said_identity = true;
    return sealed(&body, wire);
}

size_t node_status(struct node *node, uint32_t now_ms, const struct node_vitals *vitals, uint8_t *wire)
{
    struct body body = begun(node, STATUS);

    put(&body, (now_ms - node->start_ms) / 1000, 4);
    put(&body, vitals->restarts, 2);
    put(&body, vitals->restart_cause, 1);
    put(&body, vitals->load_half_percent, 1);
    put(&body, vitals->free_memory_bytes, 2);
    put(&body, node->frames_refused, 4);
    node->status_ms = next(node->status_ms, NODE_STATUS_MS, now_ms);
    node->has_said_orders = false; /* they follow each status, and each order */
    return sealed(&body, wire);
}

size_t node_orders(struct node *node, uint16_t orders, uint8_t *wire)
{
    struct body body = begun(node, ORDERS);

    put(&body, orders, 2);
    node->has_said_orders = true;
    return sealed(&body, wire);
}

size_t node_measurement(struct node *node, uint32_t now_ms, const struct node_readings *readings, uint8_t *wire)
{
    struct body body = begun(node, MEASUREMENT);

    put(&body, now_ms - node->start_ms, 4);
    put(&body, (uint16_t)readings->temperature_centicel, 2);
    put(&body, readings->humidity_centipercent, 2);
    put(&body, readings->pressure_pa, 3);
    put(&body, readings->flow_centilitres_per_min, 2);
    put(&body, readings->supply_mv, 2);
    put(&body, readings->valve_half_percent, 1);
    put(&body, (uint32_t)readings->mode | (readings->is_heater_on ? 1u << 4 : 0), 1);
    put(&body, readings->alarms, 1);
    node->measurement_ms = next(node->measurement_ms, NODE_MEASUREMENT_MS, now_ms);
    return sealed(&body, wire);
}

static size_t acknowledged(const struct node *node, const uint8_t *command, enum result result, uint8_t *wire)
{
    struct body body;

    body.size = 0;
    put(&body, ACK, 1);
    put(&body, command[1], 1); /* its counter */
    put(&body, command[0], 1);
    put(&body, result, 1);
    put(&body, node->order.position_half_percent, 1);
    return sealed(&body, wire);
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

static enum result set_valve(struct node *node, const uint8_t *body, size_t size)
{
    if (size < 4 || body[2] > POSITION_MAX || body[3] > RAMP_MAX_S)
        return OUT_OF_RANGE;
    if (node->mode == NODE_MANUAL)
        return MANUAL;
    if (node->mode == NODE_BLOCKED)
        return VALVE_BLOCKED;
    node->order = (struct node_order){ .position_half_percent = body[2], .ramp_s = body[3] };
    node->has_new_order = true;
    node->has_said_orders = false;
    return ACCEPTED;
}

/* A body longer than its table is read as far as the table goes: PROTOCOL 3. */
static size_t answer(struct node *node, const uint8_t *body, size_t size, uint8_t *wire)
{
    switch (body[0]) {
    case SET_VALVE:
        return acknowledged(node, body, set_valve(node, body, size), wire);
    case ASK_IDENTITY:
        return node_identity(node, wire);
    default:
        return acknowledged(node, body, UNKNOWN_COMMAND, wire);
    }
}

static size_t refused(struct node *node)
{
    node->frames_refused++;
    return 0;
}

static size_t take_frame(struct node *node, uint8_t *frame, size_t size, uint8_t *wire)
{
    const int packet = cobs_unstuff(frame, size);

    if (packet < 2 + CRC_BYTES)
        return refused(node);
    const size_t body = (size_t)packet - CRC_BYTES;
    if (crc16(frame, body) != (uint16_t)(frame[body] << 8 | frame[body + 1]))
        return refused(node);
    return answer(node, frame, body, wire);
}

size_t node_take(struct node *node, uint8_t byte, uint8_t *wire)
{
    if (byte != 0) {
        if (node->received_bytes < NODE_WIRE_MAX - 1) /* the 00 is one of the 64 */
            node->received[node->received_bytes++] = byte;
        else
            node->is_too_long = true;
        return 0;
    }
    const size_t size = node->received_bytes;
    const bool is_too_long = node->is_too_long;

    node->received_bytes = 0;
    node->is_too_long = false;
    if (is_too_long)
        return refused(node);
    return size == 0 ? 0 : take_frame(node, node->received, size, wire); /* an empty frame is ignored */
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

static bool is_past(uint32_t due_ms, uint32_t now_ms)
{
    return (int32_t)(now_ms - due_ms) >= 0; /* right also when the clock wraps */
}

enum node_message node_due(const struct node *node, uint32_t now_ms)
{
    if (!node->has_said_identity)
        return NODE_IDENTITY;
    if (is_past(node->status_ms, now_ms))
        return NODE_STATUS;
    if (!node->has_said_orders)
        return NODE_ORDERS;
    if (is_past(node->measurement_ms, now_ms))
        return NODE_MEASUREMENT;
    return NODE_NOTHING;
}

void node_init(struct node *node, const struct node_identity *identity, uint32_t now_ms, uint8_t position)
{
    *node = (struct node){
        .order = { .position_half_percent = position },
        .identity = *identity,
        .start_ms = now_ms,
        .measurement_ms = now_ms,
        .status_ms = now_ms,
    };
}
