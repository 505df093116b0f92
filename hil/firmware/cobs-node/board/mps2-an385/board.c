/* Clock, UART, sleep and vitals of the MPS2 board (Cortex-M3). */
#include "board.h"

#include "registers.h"
#include "startup.h"

enum {
    BAUD_BPS = 115200,
    TICK_CYCLES = CLOCK_HZ / 1000,
    RECEIVED_MAX = 256, /* 22 ms of line; a power of two */
    LOAD_WINDOW_MS = NODE_STATUS_MS,
};

const struct node_identity board_identity = {
    .serial_number = { 0x7d, 0x00, 0xc0, 0xb5, 0x00, 0x01 },
    .hardware = 3,
    .firmware = "1.4.0-m3",
};

static volatile uint32_t now_ms;
static struct {
    volatile uint8_t bytes[RECEIVED_MAX];
    volatile uint16_t written; /* by the interrupt alone */
    volatile uint16_t taken;   /* by the loop alone */
} received;
static struct {
    uint32_t since_ms, idle_cycles;
    uint8_t half_percent; /* of the last whole window */
} load = { .half_percent = NODE_NO_U8 };

void systick_handler(void)
{
    now_ms++;
}

/*
 * Acknowledge first, then drain. The other way round loses a byte now and then: one that comes after the last look at
 * RECEIVE_FULL and before the acknowledgement raises no further interrupt, and waits until the next byte comes.
 */
void uart0_receive_handler(void)
{
    UART0->interrupts = UART_RECEIVE_INTERRUPT;
    while (UART0->state & UART_RECEIVE_FULL) {
        const uint8_t byte = (uint8_t)UART0->data;

        if ((uint16_t)(received.written - received.taken) < RECEIVED_MAX) /* full: the frame's CRC will tell */
            received.bytes[received.written++ % RECEIVED_MAX] = byte;
    }
    UART0->state = UART_RECEIVE_OVERRUN;
}

void board_init(void)
{
    SYSTICK->reload = TICK_CYCLES - 1;
    SYSTICK->value = 0;
    SYSTICK->control = SYSTICK_ON | SYSTICK_INTERRUPT_ON | SYSTICK_CORE_CLOCK;
    UART0->divider = CLOCK_HZ / BAUD_BPS;
    UART0->control = UART_SEND_ON | UART_RECEIVE_ON | UART_RECEIVE_INTERRUPT_ON;
    NVIC_ENABLE = 1u << UART0_RECEIVE_IRQ;
    UART1->divider = CLOCK_HZ / BAUD_BPS;
    UART1->control = UART_RECEIVE_ON; /* no interrupt: the room is looked at often enough */
}

uint32_t board_now_ms(void)
{
    return now_ms;
}

bool board_receive(uint8_t *byte)
{
    if (received.taken == received.written)
        return false;
    *byte = received.bytes[received.taken % RECEIVED_MAX];
    received.taken++;
    return true;
}

/* Waiting here holds nothing up: bytes that come meanwhile are taken by the interrupt. */
void board_send(const uint8_t *bytes, size_t count)
{
    while (count--) {
        while (UART0->state & UART_SEND_FULL)
            ;
        UART0->data = *bytes++;
    }
}

/* With interrupts off, the core still wakes up for one that is pending: nothing slips between the look and the sleep. */
void board_sleep(void)
{
    __asm volatile("cpsid i" ::: "memory");
    if (received.taken == received.written) {
        const uint32_t before = SYSTICK->value;

        __asm volatile("wfi" ::: "memory");
        const uint32_t after = SYSTICK->value;
        load.idle_cycles += before >= after ? before - after : before + TICK_CYCLES - after;
    }
    __asm volatile("cpsie i" ::: "memory");
}

struct node_vitals board_vitals(void)
{
    const uint32_t passed_ms = now_ms - load.since_ms;

    if (passed_ms >= LOAD_WINDOW_MS / 2) {
        const uint32_t idle_half_percent = load.idle_cycles / (TICK_CYCLES / 200) / passed_ms;

        load.half_percent = (uint8_t)(idle_half_percent < 200 ? 200 - idle_half_percent : 0);
        load.since_ms = now_ms;
        load.idle_cycles = 0;
    }
    return (struct node_vitals){
        .restarts = restarts(),
        .restart_cause = restart_cause(),
        .load_half_percent = load.half_percent,
        .free_memory_bytes = stack_never_used_bytes(),
    };
}
