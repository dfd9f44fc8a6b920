"""One table: each flag has a variable, a line in the configuration file and a row of `registry-push config`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from registry_push.cli.main import group
from registry_push.errors import InvalidSettings
from registry_push.options.configuration import Configuration, read_configuration
from registry_push.options.option import Option, table

# What is about the command line itself, and is asked for nowhere else.
OF_THE_COMMAND_LINE = {"--help", "--version"}
# Commands that show something of the program; they have no settings.
WITHOUT_SETTINGS = {"help", "completion"}


def context() -> click.Context:
    """One with the names of `--help`, which click keeps at each command when it is first asked for them."""
    return click.Context(group, info_name="registry-push", **group.context_settings)


def commands(command: click.Command = group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(context()):
            found = command.get_command(context(), name)
            assert found is not None
            yield from commands(found, (*path, name))


def found(path: tuple[str, ...]) -> click.Command:
    command: click.Command | None = group
    for name in path:
        assert isinstance(command, click.Group)
        command = command.get_command(context(), name)
    assert command is not None
    return command


PATHS = [path for path in commands() if not {*path} & WITHOUT_SETTINGS]


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_flag_of_every_command_is_in_the_table(path: tuple[str, ...]) -> None:
    keys = table(context())
    for each in found(path).get_params(context()):
        if isinstance(each, click.Option) and not {*each.opts} & OF_THE_COMMAND_LINE:
            assert isinstance(each, Option), each.opts
            assert each.variable == f"REGISTRY_PUSH_{each.key.replace('-', '_').upper()}"
            assert each.key in keys


@pytest.mark.parametrize("path", [path for path in PATHS if path not in ((), ("key",), ("config",))], ids=" ".join)
def test_the_help_names_each_flags_variable(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(group, [*path, "--help"], terminal_width=80).output
    for each in found(path).params:
        if isinstance(each, Option):
            assert f"[env: {each.variable}" in shown, each.key


def test_a_flag_of_several_commands_is_one() -> None:
    by_key: dict[str, set[str]] = {}
    for path in PATHS:
        for each in found(path).params:
            if isinstance(each, Option):
                by_key.setdefault(each.key, set()).add(each.variable)
    assert all(len(variables) == 1 for variables in by_key.values())
    variables = [variable for each in by_key.values() for variable in each]
    assert len(variables) == len({*variables})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("jobs = 3", 1),
        ("# jobs = 1\n\n  jobs= 3", 3),
        ('"jobs" = 3', 1),
        ("'jobs' = 3", 1),
        ("a = '''\njobs = 1\n'''\njobs = 3", 4),
        ("a = [\n1,\n]\njobs = [\n1\n]", 4),
        ("\n[jobs]\nx = 1", 2),
        ("\n[[jobs]]\nx = 1", 2),
        ("jobs.x = 1", 1),
        ("jobs-per = 1\njobs = 3", 2),
        ('"j\\u006fbs" = 3', None),
    ],
)
def test_the_line_that_sets_a_key_is_found(tmp_path: Path, text: str, line: int | None) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    configuration = read_configuration(file)
    assert configuration is not None
    assert configuration.line_of("jobs") == line


def test_many_lines_that_look_alike_cost_no_time() -> None:
    text = 'a = """\n' + "jobs = 1\n" * 20_000 + '"""\njobs = 2\n'
    assert Configuration(Path("x"), text, {}).line_of("jobs") is None


@pytest.mark.parametrize("value", [True, 2.5, "x", [1], {}, None])
def test_a_line_of_a_wrong_type_is_ours(value: object) -> None:
    with pytest.raises(InvalidSettings, match="can't be"):
        table(context())["jobs"].from_line(value)
