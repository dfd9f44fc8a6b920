"""`python -m registry_push.embedded --root DIR --port N`: a registry for trying things out."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path

from .options import Options
from .rate_limiter import RateLimit
from .server import EmbeddedRegistry


async def _serve(root: Path, port: int, limit: RateLimit | None) -> None:
    async with EmbeddedRegistry(root, Options(rate_limit=limit), port=port) as server:
        print(server.origin, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m registry_push.embedded", description="An embedded OCI registry.")
    parser.add_argument("--root", type=Path, required=True, help="folder of the repositories")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: any that is free")
    parser.add_argument("--rate-limit", type=int, metavar="N", help="answer 429 after N reads of manifests in a window")
    parser.add_argument("--rate-limit-seconds", type=float, default=60.0, metavar="SECONDS", help="length of a window")
    parser.add_argument("--rate-limit-heads", action="store_true", help="count HEADs of manifests too")
    parser.add_argument("--rate-limit-lists", action="store_true", help="count lists of tags too")
    parser.add_argument("--rate-limit-headers", action="store_true", help="say how many reads are left")
    parser.add_argument("--no-retry-after", action="store_true", help="answer 429 without Retry-After")
    arguments = parser.parse_args()
    limit = None
    if arguments.rate_limit is not None:
        limit = RateLimit(
            arguments.rate_limit,
            arguments.rate_limit_seconds,
            heads=arguments.rate_limit_heads,
            lists=arguments.rate_limit_lists,
            headers=arguments.rate_limit_headers,
            retry_after=not arguments.no_retry_after,
        )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.root, arguments.port, limit))


if __name__ == "__main__":
    main()
