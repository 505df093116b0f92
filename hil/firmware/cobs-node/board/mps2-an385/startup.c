/* From reset to main: memory, restart bookkeeping, vectors. */
#include "startup.h"

#include "registers.h"

enum { RAM_IS_OURS = 0x7d0c0b5e, UNTOUCHED = 0x57ac57ac };

extern uint32_t _data_load, _data_start, _data_end, _bss_start, _bss_end, _stack_low, _stack_top; /* link.ld */
extern int main(void);

/* Survives every reset, but not the loss of power. */
static struct {
    uint32_t mark;
    uint16_t restarts;
    enum node_restart noted; /* by whoever asked for the reset; 0: nobody did */
} remembered __attribute__((section(".noinit")));

static enum node_restart cause;

static void remember(void)
{
    if (remembered.mark != RAM_IS_OURS) {
        remembered.mark = RAM_IS_OURS;
        remembered.restarts = 0;
        cause = NODE_POWER_ON;
    } else {
        remembered.restarts++;
        cause = remembered.noted ? remembered.noted : NODE_RESET_PIN;
    }
    remembered.noted = 0;
}

void reset_handler(void)
{
    uint32_t *from = &_data_load;

    for (uint32_t *to = &_data_start; to < &_data_end;)
        *to++ = *from++;
    for (uint32_t *to = &_bss_start; to < &_bss_end;)
        *to++ = 0;
    for (uint32_t *to = &_stack_low; to < (uint32_t *)__builtin_frame_address(0) - 16;) /* 16: our own frame */
        *to++ = UNTOUCHED;
    remember();
    main();
    restart(NODE_SOFTWARE);
}

void restart(enum node_restart why)
{
    remembered.noted = why;
    RESET_CONTROL = RESET_REQUEST;
    for (;;)
        ;
}

uint16_t restarts(void)
{
    return remembered.restarts;
}

enum node_restart restart_cause(void)
{
    return cause;
}

uint16_t stack_never_used_bytes(void)
{
    const uint32_t *at = &_stack_low;

    while (at < &_stack_top && *at == UNTOUCHED)
        at++;
    return (uint16_t)((uintptr_t)at - (uintptr_t)&_stack_low);
}

static void fault_handler(void)
{
    restart(NODE_SOFTWARE);
}

/* The first 16 are the core's (DDI 0403, B1.5.2), then the board's. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*handlers[15 + 1])(void);
} vectors = {
    &_stack_top,
    {
        reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, 0, 0, 0, 0,
        fault_handler, fault_handler, 0, fault_handler, systick_handler,
        uart0_receive_handler, /* UART0_RECEIVE_IRQ */
    },
};

/* What a freestanding compiler may call (GCC manual, 2.1). */
void *memcpy(void *to, const void *from, size_t count)
{
    uint8_t *out = to;
    const uint8_t *in = from;

    while (count--)
        *out++ = *in++;
    return to;
}

void *memset(void *to, int value, size_t count)
{
    uint8_t *out = to;

    while (count--)
        *out++ = (uint8_t)value;
    return to;
}
