"""How long reading one object may take: a patience, and longer with each byte that comes.

A server that gives a byte now and then is ended by no timeout between two bytes, and would hold up a step for hours.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

BYTES_PER_S = 64 << 10
"""Slower than this no object is read for longer than the patience: 500 kbit/s, a hundredth of what a modest server gives."""
SLACK_S = 1.0
"""A request that is silent for the whole patience ends as that."""


class Pace:
    """Seconds that are left for an object: they pass during requests, and bytes bring them back, up to the patience."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._left_s = patience_s + SLACK_S
        self._limit: asyncio.Timeout | None = None
        """Of the request under way."""
        self._num_bytes, self._seconds = 0, 0.0

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """A request, of which each part that comes is told to `came`. Raises TimeoutError in words where it is too slow.

        The time of a request that fails for another reason does not count: whoever calls again has a patience for these.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout_at(began + self._left_s) as self._limit:
                yield
        except TimeoutError:
            if self._limit is None or not self._limit.expired():
                raise
            self._left_s = 0.0
            seconds = self._seconds + loop.time() - began
            raise TimeoutError(
                f"too slow: {self._num_bytes} bytes came in {seconds:.0f} s, and an object may take limits.storage_patience_s = "
                f"{self._patience_s:g} s and a second for each {BYTES_PER_S >> 10} KiB"
            ) from None
        self._left_s = max(0.0, (self._limit.when() or 0.0) - loop.time())
        self._seconds += loop.time() - began

    def came(self, num_bytes: int) -> None:
        """Bytes of the request under way."""
        self._num_bytes += num_bytes
        if self._limit is not None and not self._limit.expired():
            longest = asyncio.get_running_loop().time() + self._patience_s + SLACK_S
            self._limit.reschedule(min((self._limit.when() or longest) + num_bytes / BYTES_PER_S, longest))
