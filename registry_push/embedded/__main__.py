"""`python -m registry_push.embedded --root DIR --port N`: a registry for trying things out."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path

from .server import EmbeddedRegistry


async def _serve(root: Path, port: int) -> None:
    async with EmbeddedRegistry(root, port=port) as server:
        print(server.origin, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m registry_push.embedded", description="An embedded OCI registry.")
    parser.add_argument("--root", type=Path, required=True, help="folder of the repositories")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: any that is free")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.root, arguments.port))


if __name__ == "__main__":
    main()
