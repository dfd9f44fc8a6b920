"""The yardstick for the processor: SHA-256 of each file of a folder, in one thread, and nothing else.

Run as a script: `hashing.py FOLDER`.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).iterdir()):
        with path.open("rb", buffering=0) as file:
            hashlib.file_digest(file, "sha256")
