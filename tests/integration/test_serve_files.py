"""What the service is run by: the unit and the container file name flags, places and variables that there are."""

from __future__ import annotations

import json
import re
import shlex
from importlib.resources import files

import click
import pytest

from registry_push.daemon.command import command

FILES = files("registry_push.daemon")


def parsed(arguments: list[str], variables: dict[str, str] | None = None) -> click.Context:
    """The command line as click understands it. Raises for a flag that is none."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (variables or {}).items():
            patch.setenv(name, value)
        return command.make_context("serve", arguments)


def test_the_unit_starts_the_service_as_it_is() -> None:
    text = FILES.joinpath("registry-push.service").read_text()
    _, serve, *arguments = shlex.split(re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[0])
    assert serve == "serve"
    flags = parsed(arguments).params
    assert str(flags["state_dir"]) == "/var/lib/" + re.findall(r"^StateDirectory=(.*)$", text, re.MULTILINE)[0]
    assert "[Install]" in text


def test_the_container_does_so_too() -> None:
    text = FILES.joinpath("Containerfile").read_text()
    entry, rest = (json.loads(re.findall(rf"^{word} (.*)$", text, re.MULTILINE)[0]) for word in ("ENTRYPOINT", "CMD"))
    assert entry[:2] == ["registry-push", "serve"]
    variables = dict(part.split("=") for part in re.findall(r"^ENV (.*)$", text, re.MULTILINE)[0].split())
    flags = parsed([*entry[2:], *rest], variables).params
    assert (flags["host"], str(flags["token_file"])) == ("0.0.0.0", "/run/secrets/token")
    assert (str(flags["key"]), str(flags["state_dir"])) == ("/ollama/id_ed25519", "/state")
