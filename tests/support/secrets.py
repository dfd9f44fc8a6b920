"""The secrets that tests use: planted, so that one that gets out is recognised wherever it turns up.

Each has the same word in it, which occurs nowhere else and survives in the base64 of a login. See leaks.py.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Final

PLANTED: Final = "kZ7planted9Qx"
PASSWORD: Final = f"pass word {PLANTED}"
WRONG_PASSWORD: Final = f"no password {PLANTED}"
TOKEN: Final = f"token.{PLANTED}.access"
REFRESH_TOKEN: Final = f"token.{PLANTED}.refresh"
PROXY_PASSWORD: Final = f"proxy-{PLANTED}"
PRESIGNED_QUERY: Final = f"X-Amz-Credential=someone%2fauto&X-Amz-Signature=signed{PLANTED}"
# What Basic sends of the user `me`.
BASIC: Final = f"Basic {b64encode(f'me:{PASSWORD}'.encode()).decode()}"
