"""Help: in groups, with examples; guides and a manual page inside the package; suggestions; completion."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from registry_push import errors
from registry_push.cli.guides import guides
from registry_push.cli.main import group
from registry_push.errors import RegistryPushError, UsageError
from registry_push.options.flags import options
from registry_push.options.grouped_help import OWN, in_sections
from tests.support.peers import require

ROOT = click.Context(group, info_name="registry-push")


def commands() -> Iterator[tuple[str, click.Command]]:
    def below(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            yield name, command
            return
        for each in command.list_commands(ROOT):
            found = command.get_command(ROOT, each)
            assert found is not None
            yield from below(found, f"{name} {each}".strip())

    return below(group, "")


COMMANDS = dict(commands())


def called(*arguments: str) -> Result:
    return CliRunner().invoke(group, list(arguments), prog_name="registry-push")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_shows_examples_that_it_understands(name: str) -> None:
    shown = called(*name.split(), "--help").output
    examples = re.findall(rf"registry-push {name}(?: .*)?$", shown.partition("Examples:")[2], re.MULTILINE)
    assert examples
    assert max(map(len, shown.partition("Examples:")[2].partition("\n\n")[0].splitlines())) <= 80
    flags = {flag for each in COMMANDS[name].get_params(ROOT) for flag in each.opts} | {"-h", "--help"}
    for example in examples:
        own = re.split(r" [|>#] ?|\)", example)[0]
        assert set(re.findall(r"(?<= )--?[a-z][a-z-]*", own)) <= flags, example


def test_options_of_push_are_in_groups() -> None:
    shown = called("push", "--help").output
    headings = re.findall(r"^(\w[\w -]*options|Options):$", shown, re.MULTILINE)
    assert headings == [
        *("Options", "Store options", "Sign-in options", "Connection options", "Transfer options"),
        *("Upload options", "Output options"),
        "General options",
    ]


def test_every_shared_option_has_a_group() -> None:
    """One that somebody adds to a group of flags must not end up among a command's own."""

    @click.command()
    @options("store", "registry", "transfer", "output")
    def probe(**_: object) -> None: ...

    found = in_sections(probe.params)
    assert [each.name for each in found.get(OWN, [])] == []


# ── guides ────────────────────────────────────────────────────────────────────────────────────────


def test_help_lists_the_guides_and_shows_one() -> None:
    listed = called("help")
    assert listed.exit_code == 0
    for guide in guides().values():
        assert guide.topic in listed.output and guide.title
        assert called("help", guide.topic).output == guide.text


def test_help_shows_a_commands_own_help() -> None:
    assert called("help", "push").output == called("push", "--help").output
    assert "key create" in called("help", "key", "create").output


@pytest.mark.parametrize(("typed", "meant"), [("exit-code", "exit-codes"), ("pussh", "push"), ("key shwo", "show")])
def test_a_mistyped_topic_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    error = called("help", *typed.split()).exception
    assert isinstance(error, UsageError)
    assert error.hint == f"did you mean {meant}?"


def test_the_guide_to_exit_codes_knows_each_code() -> None:
    rows = re.findall(r"^\| (\d+) \|", guides()["exit-codes"].text, re.MULTILINE)
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, RegistryPushError)]
    ours = {kind.exit_code for kind in kinds}
    assert {*map(int, rows)} == ours | {0, 141}


# ── the manual page ───────────────────────────────────────────────────────────────────────────────


def test_the_manual_page_has_every_command_flag_and_exit_code() -> None:
    page = called("help", "--man").output
    text = page.replace("\\-", "-")
    assert page.startswith(".TH REGISTRY\\-PUSH 1")
    for name, command in COMMANDS.items():
        assert f"\n.SS {name}" in text
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert f"{max(option.opts, key=len)}" in text, option.opts
    for code in ("0", "8", "130"):
        assert f"\\fB{code}\\fR" in text


def test_the_manual_page_is_good_roff() -> None:
    page = called("help", "--man").output
    done = subprocess.run(
        [require("groff"), "-man", "-Tutf8", "-ww"],
        input=page,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert done.stderr == ""
    assert "registry-push push llama3.2:3b" in done.stdout


# ── suggestions ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("psuh", "push"), ("PUSH", "push"), ("lits", "list"), ("complete", "completion"), ("key shwo", "show")],
)
def test_a_mistyped_command_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    error = called(*typed.split()).exception
    assert isinstance(error, UsageError) and error.exit_code == 2
    assert error.hint == f"did you mean {meant}?"


def test_a_command_like_none_points_to_the_help() -> None:
    error = called("frobnicate").exception
    assert isinstance(error, UsageError) and "--help" in (error.hint or "")


@pytest.mark.parametrize(
    ("typed", "meant"), [("--job", "--jobs"), ("--chunksize", "--chunk-size"), ("--tags", "--tag")]
)
def test_a_mistyped_flag_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    done = called("push", "x", typed, "1")
    assert done.exit_code == 2 and meant in done.output


# ── completion ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    done = called("completion", shell)
    assert done.exit_code == 0
    assert f"_REGISTRY_PUSH_COMPLETE={shell}_complete" in done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_reads(shell: str, tmp_path: Path) -> None:
    program = require(shell)
    script = tmp_path / "script"
    script.write_text(called("completion", shell).output)
    subprocess.run([program, "-n", str(script)], check=True)


def test_help_prints_the_schema_of_the_events() -> None:
    done = called("help", "--json-schema")
    assert done.exit_code == 0 and json.loads(done.output)["title"] == "Events of registry-push --json"
