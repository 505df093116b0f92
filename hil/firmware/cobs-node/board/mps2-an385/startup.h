#ifndef STARTUP_H
#define STARTUP_H

#include <stddef.h>
#include <stdint.h>

#include "node.h"

/* Restart and say why after it; does not return. */
_Noreturn void restart(enum node_restart why);

uint16_t restarts(void);
enum node_restart restart_cause(void);

/* The least that the stack ever left free. */
uint16_t stack_never_used_bytes(void);

/* Interrupts, defined in board.c. */
void systick_handler(void);
void uart0_receive_handler(void);

void reset_handler(void);
void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);

#endif
