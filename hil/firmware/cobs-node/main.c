/* The COBS node: profiles/uart/cobs-node/PROTOCOL.md, spoken by one loop that does nothing but carry. */
#include "board.h"
#include "node.h"

static size_t say(struct node *node, enum node_message message, uint8_t *wire)
{
    const uint32_t now_ms = board_now_ms();

    switch (message) {
    case NODE_IDENTITY:
        return node_identity(node, wire);
    case NODE_STATUS: {
        const struct node_vitals vitals = board_vitals();
        return node_status(node, now_ms, &vitals, wire);
    }
    case NODE_ORDERS:
        return node_orders(node, board_valve_orders(), wire);
    case NODE_MEASUREMENT: {
        const struct node_readings readings = board_readings();
        node->mode = readings.mode;
        return node_measurement(node, now_ms, &readings, wire);
    }
    case NODE_NOTHING:
        break;
    }
    return 0;
}

int main(void)
{
    static struct node node;
    static uint8_t wire[NODE_WIRE_MAX];
    uint8_t byte;

    board_init();
    node_init(&node, &board_identity, board_now_ms(), board_valve_order());
    board_send((const uint8_t[]){ 0 }, 1); /* cuts off what a reset left of a frame: PROTOCOL 2 */
    for (;;) {
        while (board_receive(&byte)) { /* answers come before what is due */
            const size_t size = node_take(&node, byte, wire);

            if (node.has_new_order) { /* before its ack: a reset between the two must not lose what was accepted */
                node.has_new_order = false;
                board_move_valve(node.order);
            }
            board_send(wire, size);
        }
        const enum node_message due = node_due(&node, board_now_ms());
        if (due != NODE_NOTHING)
            board_send(wire, say(&node, due, wire));
        else
            board_sleep();
    }
}
