"""Errors that programs get name the arguments as they wrote them, and no flags of the command."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import registry_push as rp
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from registry_push.events import Event, ModelFailed
from registry_push.text.hint import Setting
from registry_push.text.library_words import LibraryWords


def at(home: Path, **given: Any) -> rp.Settings:
    return rp.Settings(home=home, state_dir=None, environ={}, **{"models": home / "models", **given})


Work = Callable[[Path], Coroutine[Any, Any, Any]]


async def make(home: Path, **given: Any) -> None:
    at(home, **given)


async def read(home: Path) -> None:
    async with rp.open_store("ollama:me/x", settings=at(home, models=home / "none")) as store:
        await store.resolve()


CASES: dict[str, tuple[Work, str]] = {
    "a name for several": (
        lambda home: rp.pull(["a.example/me/x", "a.example/me/y"], name="z", settings=at(home)),
        "name= names one model, and several are pulled",
    ),
    "a name that Ollama can't have": (
        lambda home: rp.pull("registry:a.example/deep/er/me/x", settings=at(home)),
        'say what to call it here: name="me/x:latest"',
    ),
    "no store": (
        lambda home: rp.push("me/x", to="a.example/", settings=at(home, models=home / "none")),
        "none is no folder (Settings.models)",
    ),
    "a store to read": (read, "none is no folder (Settings.models)"),
    "no store to be found": (
        lambda home: rp.push("me/x", to="a.example/", settings=at(home, models=None)),
        'Settings(models="DIR")',
    ),
    "one login for two": (
        lambda home: rp.copy(
            "registry:a.example/me/x:v1", "registry:b.example/", settings=at(home, username="me", password="x")
        ),
        "Settings.username is one registry's login",
    ),
    "a folder for one model": (
        lambda home: rp.push("me/*", to="a.example/me/one:v1", settings=at(home)),
        'to="a.example/me/one/"',
    ),
    "tags for several": (
        lambda home: rp.copy("ollama:", f"oci:{home}/l", tags=["v1"], settings=at(home)),
        "tags= is for one model",
    ),
    "a CA that is not there": (
        lambda home: rp.push("me/x", to="a.example/", settings=at(home, ca_file=home / "none")),
        "check Settings.ca_file",
    ),
    "half of a client certificate": (lambda home: make(home, cert="x.crt"), "give Settings.key_file too"),
    "the other half": (lambda home: make(home, key_file="x.key"), "give Settings.cert too"),
    "no chunks, and their size": (
        lambda home: make(home, one_put=True, chunk_size="1MiB"),
        "chunk_size says how long chunks are, and Settings.one_put sends none",
    ),
    "a name that is no text": (lambda home: rp.pull("a.example/me/x", name=5, settings=at(home)), "name can't be '5'"),  # type: ignore[arg-type]
    "referrers that are no text": (
        lambda home: rp.copy("ollama:me/x", f"oci:{home}/l", referrers=5, settings=at(home)),  # type: ignore[arg-type]
        "referrers can't be '5'",
    ),
    "no place for them": (
        lambda home: rp.copy("registry:a.example/me/x:v1", "ollama:", referrers="all", settings=at(home)),
        "leave referrers=",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_an_error_names_the_argument(tmp_path: Path, case: str) -> None:
    for name in ("me/x", "me/y"):
        write_sample_store(tmp_path / "models", name=name, weights=1000)
    work, said = CASES[case]
    with pytest.raises(rp.RegistryPushError) as caught:
        await work(tmp_path)
    text = f"{caught.value} {caught.value.hint}"
    assert said in text
    assert not re.search(r"--[a-z]|one-put|key-file", text)
    assert caught.value.args == (caught.value.message,)


async def test_one_of_several_too_and_what_is_told_of_it(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", name="me/x", weights=1000)
    write_sample_store(tmp_path / "models", name="me/BIG", weights=1000)
    told: list[str] = []

    def sink(event: Event) -> None:
        if isinstance(event, ModelFailed):
            told.append(str(event.error.hint))

    with pytest.raises(rp.SomeFailed) as caught:
        await rp.push("me/*", to=f"{embedded.host}/", settings=at(tmp_path), sink=sink)
    (failed,) = caught.value.report.failed
    assert told == [failed.error.hint]
    assert f'to="{embedded.host}/me/big:latest"' in told[0]


def test_what_programs_lack_stays_as_it_is() -> None:
    words = LibraryWords({"jobs", "plain_http", "password", "cert"}, {"plain_http"})
    assert words.part(Setting("token_file", "FILE")) == "--token-file FILE of the command"
    assert words.part(Setting("plain_http")) == "Settings(plain_http=True)"
    assert words.text("give --jobs, not --token-file or x--jobs") == "give Settings.jobs, not --token-file or x--jobs"
    assert words.part(Setting("cert")) == "Settings.cert"
    assert words.part(Setting("password_stdin")) == "Settings.password"


@pytest.mark.parametrize("given", ["/data/--to/x is no layout", "'--jobs' is not a tag", "there is no --to/x"])
def test_what_the_user_has_written_stays_as_it_is(given: str) -> None:
    assert LibraryWords({"jobs"}, ()).text(given) == given
