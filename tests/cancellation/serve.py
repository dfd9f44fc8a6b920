"""The embedded registry in a process of its own: `python -m tests.cancellation.serve FOLDER keep`.

The first line on standard output is its address. When standard input ends so does it, with a line of JSON: the bytes
of bodies that it `received`, and the `largest` body that an upload request announced.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from registry_push.embedded import EmbeddedRegistry, OnCut, Options


async def serve(root: Path, on_cut: OnCut) -> None:
    """Until standard input ends."""
    async with EmbeddedRegistry(root, Options(on_cut=on_cut)) as registry:
        print(registry.host, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        uploads = [exchange for exchange in registry.log if "/blobs/uploads/" in exchange.target]
        received = sum(exchange.received for exchange in uploads)
        largest = max((int(exchange.headers.get("Content-Length", 0)) for exchange in uploads), default=0)
    print(json.dumps({"received": received, "largest": largest}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.cancellation.serve")
    parser.add_argument("root", type=Path)
    parser.add_argument("on_cut", type=OnCut)
    given = parser.parse_args()
    asyncio.run(serve(given.root, given.on_cut))
