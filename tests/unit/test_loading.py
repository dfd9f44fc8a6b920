"""aiohttp is imported without the system's roots, and nobody else loses them."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: here aiohttp is imported already.
_SCRIPT = """
import os
import ssl
from registry_push.http.loading import load_aiohttp

os.environ["SSL_CERT_DIR"] = "/nowhere"
os.environ.pop("SSL_CERT_FILE", None)
before = ssl.create_default_context().cert_store_stats()
load_aiohttp(os.environ)
load_aiohttp(os.environ)
assert os.environ["SSL_CERT_DIR"] == "/nowhere" and "SSL_CERT_FILE" not in os.environ
assert ssl.create_default_context().cert_store_stats() == before

from aiohttp import connector
assert connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"] == 0
assert connector._SSL_CONTEXT_VERIFIED.verify_mode is ssl.CERT_REQUIRED, "empty, but not lenient"
"""


def test_aiohttps_own_contexts_stay_empty_and_others_do_not() -> None:
    subprocess.run([sys.executable, "-c", _SCRIPT], check=True)


def test_commands_that_talk_to_no_registry_import_no_aiohttp() -> None:
    script = (
        "import sys; sys.argv = ['registry-push', 'list', '--models', '/nowhere']\n"
        "from registry_push.cli.main import command\n"
        "code = command()\n"
        "assert code == 3, code\n"
        "assert 'aiohttp' not in sys.modules and 'cryptography' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stderr=subprocess.DEVNULL)
