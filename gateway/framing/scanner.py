"""Layer 2: frames found by looking: at every place where one may begin, its size and its check decide.

A place that proves false costs one byte: the search goes on behind it, so a good frame hidden in it is found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from gateway.framing.account import Account, Found

MORE = 0  # from `_size_at`: more bytes must come first
IMPOSSIBLE = -1  # from `_size_at`: no frame begins like this


class Scanner(Account, ABC):
    """Looks for `start` (may be empty: then every place is tried). Kinds say size and body."""

    def __init__(self, max_frame_bytes: int, start: bytes) -> None:
        super().__init__(max_frame_bytes)
        self._start = start
        self._reason = "noise"  # why the bytes since the last frame are refused

    @abstractmethod
    def _size_at(self, data: bytes, place: int) -> int:
        """Return the size of the frame that begins at `place`, MORE or IMPOSSIBLE."""

    @abstractmethod
    def _body_of(self, frame: bytes) -> bytes | None:
        """Return the body of a frame of the right size, None where its check does not hold."""

    def feed(self, data: bytes) -> Found:
        """Return bodies and garbage in wire order."""
        self._fed += len(data)
        return self._scan(self._pending + data, final=False)

    def gap(self) -> Found:
        """Return the frames hidden in what is pending; refuse the rest."""
        found = self._scan(self._pending, final=True)
        self._reason = "noise"
        return found

    def _scan(self, data: bytes, *, final: bool) -> Found:
        found: Found = []
        place = refused = 0  # next byte to decide about; first of the run being refused
        end = len(data)
        while (hit := data.find(self._start, place)) >= 0 and hit < end:
            place = hit
            size = self._size_at(data, place)
            if size > 0 and place + size <= end:
                body = self._body_of(data[place : place + size])
                if body is not None:
                    if refused < place:
                        self._refuse(found, data[refused:place], self._reason)
                    self._reason = "noise"
                    self._frames += 1
                    found.append(body)
                    place += size
                    refused = place
                    continue
                reason = "check"
            elif size >= 0 and not final:
                break
            else:
                reason = "cut" if size >= 0 else "length"
            if reason != self._reason:
                self._refuse(found, data[refused:place], self._reason)
                self._reason = reason
                refused = place
            place += 1
        else:
            place = end if final else max(place, end - self._begun(data))
        self._refuse(found, data[refused:place], self._reason)
        self._pending = data[place:]
        return found

    def _begun(self, data: bytes) -> int:
        """Return how many bytes at the end of `data` may be the beginning of `start`."""
        for size in range(min(len(self._start) - 1, len(data)), 0, -1):
            if data.endswith(self._start[:size]):
                return size
        return 0
