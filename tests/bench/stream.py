"""The yardstick for the line: one TCP stream that carries the files of a folder, and nothing else.

Run as a script: `stream.py HOST:PORT FOLDER`. `drain` is its other end.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def drain() -> Iterator[str]:
    """`127.0.0.1:<port>`, where what comes is thrown away; at its end a byte is answered. Until the end of the with."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, which a close would not


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        buffer = bytearray(1 << 20)
        with connection:
            while connection.recv_into(buffer):
                pass
            connection.send(b".")


def main() -> None:
    """Sends, and waits until all has arrived."""
    host, _, port = sys.argv[1].rpartition(":")
    with socket.create_connection((host, int(port))) as line:
        for path in sorted(Path(sys.argv[2]).iterdir()):
            with path.open("rb") as file:
                line.sendfile(file)
        line.shutdown(socket.SHUT_WR)
        if line.recv(1) != b".":
            sys.exit("the other end did not take it")


if __name__ == "__main__":
    main()
