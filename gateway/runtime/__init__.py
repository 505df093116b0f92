"""Layer 6: where asyncio lives: mailbox, scheduler, pipeline, supervisor."""
