/*
 * The board has no sensors and no valve: a room with a radiator takes their place, in whole numbers. A valve moves
 * towards where it was ordered, flow follows the valve, temperature follows the flow. A reset of the processor does not
 * turn a valve: the room is where a reset leaves it, and only the loss of power lets it begin anew.
 *
 * A hand may be on the valve. It is at UART1, one byte for what it does now: 0 to 200, an end stop that lets the valve
 * open so far and no further, in half percent; 0xf1, it turns the valve itself; 0xf2, it jams it; 0xf0, it lets go.
 */
#include "board.h"
#include "registers.h"
#include "startup.h"

enum {
    FULL_TRAVEL = 200,           /* half percent */
    START = 40,                  /* where the valve stands at power-on, half percent */
    TRAVEL_MS = 1000,            /* of the whole way, when no ramp asks for more */
    COLD_CENTICEL = 1800,
    WARMING_CENTICEL = 800,      /* above that, with the valve open for long */
    WARMING_MS = 12000,
    FULL_FLOW = 1400,            /* centilitres per minute */
    HEATER_ON_HALF_PERCENT = 10,
    SUPPLY_MV = 24000,
    MOTOR_DROP_MV = 150,
};

static struct {
    uint32_t at_ms;
    int32_t valve;       /* half percent x TRAVEL_SCALE */
    int32_t target;
    int32_t travel_ms;
    int32_t stop;        /* half percent x TRAVEL_SCALE; the valve opens no further */
    int32_t temperature; /* centicel x WARMING_MS */
    uint16_t orders;
    enum node_mode held; /* by the hand: NODE_MANUAL, NODE_BLOCKED; NODE_HOLDING: it is not */
} plant __attribute__((section(".noinit")));
static bool is_running;

enum { TRAVEL_SCALE = 10000 };
enum { LET_GO = 0xf0, TURN_BY_HAND = 0xf1, JAM = 0xf2 };

static int32_t noise(int32_t amplitude)
{
    static uint32_t state = 1;

    state = state * 1664525u + 1013904223u; /* Numerical Recipes, 7.1 */
    return (int32_t)(state >> 16) % (2 * amplitude + 1) - amplitude;
}

static void begin(void)
{
    if (restart_cause() == NODE_POWER_ON) {
        plant.valve = plant.target = START * TRAVEL_SCALE;
        plant.travel_ms = TRAVEL_MS;
        plant.temperature = 2040 * WARMING_MS;
        plant.stop = FULL_TRAVEL * TRAVEL_SCALE;
        plant.orders = 0;
        plant.held = NODE_HOLDING;
    }
    plant.at_ms = board_now_ms();
    is_running = true;
}

static void feel_hand(void)
{
    while (UART1->state & UART_RECEIVE_FULL) {
        const uint8_t byte = (uint8_t)UART1->data;

        plant.held = byte == TURN_BY_HAND ? NODE_MANUAL : byte == JAM ? NODE_BLOCKED : NODE_HOLDING;
        plant.stop = (byte < FULL_TRAVEL ? byte : FULL_TRAVEL) * TRAVEL_SCALE;
    }
}

static int32_t way_to_go(void)
{
    return plant.held != NODE_HOLDING ? 0 : (plant.target < plant.stop ? plant.target : plant.stop) - plant.valve;
}

static void advance(void)
{
    if (!is_running)
        begin();
    const uint32_t now_ms = board_now_ms();
    const uint32_t passed_ms = now_ms - plant.at_ms;
    const int32_t passed = (int32_t)(passed_ms < 1000 ? passed_ms : 1000);
    const int32_t step = FULL_TRAVEL * TRAVEL_SCALE / plant.travel_ms * passed;
    feel_hand();
    const int32_t missing = way_to_go();

    plant.at_ms = now_ms;
    plant.valve += missing > step ? step : missing < -step ? -step : missing;
    const int32_t warmth = COLD_CENTICEL + WARMING_CENTICEL * (plant.valve / TRAVEL_SCALE) / FULL_TRAVEL;
    plant.temperature += (warmth - plant.temperature / WARMING_MS) * passed;
}

void board_move_valve(struct node_order order)
{
    advance();
    plant.orders++;
    plant.target = order.position_half_percent * TRAVEL_SCALE;
    plant.travel_ms = order.ramp_s * 1000 > TRAVEL_MS ? order.ramp_s * 1000 : TRAVEL_MS;
}

uint8_t board_valve_order(void)
{
    advance();
    return (uint8_t)(plant.target / TRAVEL_SCALE);
}

uint16_t board_valve_orders(void)
{
    return plant.orders;
}

struct node_readings board_readings(void)
{
    advance();
    const int32_t valve = plant.valve / TRAVEL_SCALE;
    const bool is_moving = way_to_go() != 0;

    return (struct node_readings){
        .temperature_centicel = (int16_t)(plant.temperature / WARMING_MS + noise(2)),
        .humidity_centipercent = (uint16_t)(4600 + noise(10)),
        .pressure_pa = (uint32_t)(101325 + noise(4)),
        .flow_centilitres_per_min = (uint16_t)(FULL_FLOW * valve / FULL_TRAVEL),
        .supply_mv = (uint16_t)(SUPPLY_MV - (is_moving ? MOTOR_DROP_MV : 0) + noise(10)),
        .valve_half_percent = (uint8_t)valve,
        .mode = is_moving ? NODE_MOVING : plant.held,
        .is_heater_on = valve > HEATER_ON_HALF_PERCENT,
        .alarms = plant.held == NODE_BLOCKED ? NODE_VALVE_BLOCKED : 0,
    };
}
