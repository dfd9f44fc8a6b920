"""What `doctor` and its report leave out of what a registry has said."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import command
from tests.support.scripted import Says, Scripted
from tests.support.secrets import PRESIGNED_QUERY


async def test_what_is_secret_in_a_redirect_is_not_shown_and_a_report_names_no_other_host(tmp_path: Path) -> None:
    async with Scripted() as server:
        there = f"http://other.example/v2/?{PRESIGNED_QUERY}"
        server.on("GET", "/v2/", Says(307, (("Location", there),)))
        for flags in ([], ["--json"], ["--verbose"], ["--report", "--hosts"]):
            done = await command("doctor", f"127.0.0.1:{server.port}", *flags, home=tmp_path)
            assert PRESIGNED_QUERY not in done.out and "other.example" in done.out, done.out
        challenge = (("WWW-Authenticate", 'Bearer realm="https://auth.example/token"'),)
        server.on("GET", "/v2/", Says(401, challenge))
        report = (await command("doctor", f"127.0.0.1:{server.port}", "--report", home=tmp_path)).out
    assert "| auth.challenge | host-" in report and "auth.example" not in report
