/*
 * Registers of the MPS2 board with a Cortex-M3 (Arm application note AN385), of the CMSDK APB UART (Arm DDI 0479) and
 * of the core (ARMv7-M Architecture Reference Manual, DDI 0403). QEMU: mps2-an385.
 */
#ifndef REGISTERS_H
#define REGISTERS_H

#include <stdint.h>

enum { CLOCK_HZ = 25000000 }; /* AN385: SYSCLK */

struct uart {
    volatile uint32_t data;
    volatile uint32_t state;      /* UART_* below; the overrun bits are cleared by writing 1 */
    volatile uint32_t control;
    volatile uint32_t interrupts; /* cleared by writing 1 */
    volatile uint32_t divider;    /* clock / baud, at least 16 */
};
#define UART0 ((struct uart *)0x40004000u) /* the line */
#define UART1 ((struct uart *)0x40005000u) /* the hand on the valve: plant.c */

enum { UART_SEND_FULL = 1 << 0, UART_RECEIVE_FULL = 1 << 1, UART_RECEIVE_OVERRUN = 1 << 3 };              /* state */
enum { UART_SEND_ON = 1 << 0, UART_RECEIVE_ON = 1 << 1, UART_RECEIVE_INTERRUPT_ON = 1 << 3 };             /* control */
enum { UART_RECEIVE_INTERRUPT = 1 << 1 };                                                                 /* interrupts */
enum { UART0_RECEIVE_IRQ = 0 };                                                                           /* AN385 */

struct systick {
    volatile uint32_t control;
    volatile uint32_t reload;
    volatile uint32_t value; /* counts down */
};
#define SYSTICK ((struct systick *)0xe000e010u)

enum { SYSTICK_ON = 1 << 0, SYSTICK_INTERRUPT_ON = 1 << 1, SYSTICK_CORE_CLOCK = 1 << 2 };

#define NVIC_ENABLE (*(volatile uint32_t *)0xe000e100u)        /* ISER0: one bit for each of the first 32 interrupts */
#define RESET_CONTROL (*(volatile uint32_t *)0xe000ed0cu)      /* AIRCR */
#define RESET_REQUEST 0x05fa0004u                              /* its key, and SYSRESETREQ */

#endif
