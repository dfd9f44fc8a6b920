"""`beside`: a question asked while another is answered, to save a round trip."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

Answer = TypeVar("Answer")


@asynccontextmanager
async def beside(question: Coroutine[Any, Any, Answer]) -> AsyncIterator[asyncio.Future[Answer]]:
    """Ask `question` while the block runs, and cancel it with the end of the block.

    Its error is raised where its answer is awaited, else nowhere.
    """
    asking = asyncio.ensure_future(question)
    try:
        yield asking
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
