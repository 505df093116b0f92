"""Layer 6: the limit of a stop. A hardware library that hangs in a thread cannot be ended, only left behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

LET_GO_S: Final = 1.7  # the whole stop takes at most 2 s


def limit_stop(before_leaving: Callable[[], None] | None = None) -> None:
    """Give this process `LET_GO_S` to end by itself; after that it ends with code 0, whatever hangs.

    `before_leaving` is called only in the second case, in a thread of its own.
    """

    def let_go() -> None:
        try:
            if before_leaving is not None:
                before_leaving()
        finally:
            os._exit(0)

    timer = threading.Timer(LET_GO_S, let_go)
    timer.daemon = True
    timer.start()
