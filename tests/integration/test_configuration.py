"""A line of `config.toml` and a variable do what the flag does; what is wrong in one says where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from tests.support.command import Finished, command


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    return tmp_path


def configure(home: Path, text: str) -> Path:
    file = home / ".config/registry-push/config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


async def pushed(home: Path, *arguments: str, **variables: str) -> Finished:
    return await command("push", *arguments, home=home, **variables)


def tags(registry: EmbeddedRegistry) -> set[str]:
    return {each.target for each in registry.log if each.method == "PUT" and "/manifests/" in each.target}


# ── a line, a variable and a flag are one ─────────────────────────────────────────────────────────


async def test_what_push_alone_has_is_a_line_too(embedded: EmbeddedRegistry, home: Path) -> None:
    configure(home, f'to = "{embedded.host}/ml/"\ntag = ["stable", "v1"]\nall = true\n')
    done = await pushed(home)
    assert done.code == 0, done.err
    assert len(tags(embedded)) == 3


async def test_what_push_alone_has_is_a_variable_too(embedded: EmbeddedRegistry, home: Path) -> None:
    variables = {"TO": f"{embedded.host}/ml/", "TAG": "stable v1", "ALL": "1"}
    done = await pushed(home, **{f"REGISTRY_PUSH_{name}": value for name, value in variables.items()})
    assert done.code == 0, done.err
    assert len(tags(embedded)) == 3


async def test_a_byte_order_mark_at_its_beginning_is_no_part_of_the_file(
    embedded: EmbeddedRegistry, home: Path
) -> None:
    configure(home, f'\ufeffto = "{embedded.host}/ml/"\n')
    done = await pushed(home, "me/tiny")
    assert done.code == 0, done.err
    assert len(tags(embedded)) == 1


@pytest.mark.parametrize("by", ["line", "variable"])
async def test_a_dry_run_is_one_however_it_is_asked_for(embedded: EmbeddedRegistry, home: Path, by: str) -> None:
    if by == "line":
        configure(home, "dry-run = true\n")
    variables = {"REGISTRY_PUSH_DRY_RUN": "true"} if by == "variable" else {}
    done = await pushed(home, "me/tiny", "--to", f"{embedded.host}/", **variables)
    assert done.code == 0, done.err
    assert {each.method for each in embedded.log} <= {"HEAD", "GET"}


async def test_a_variable_can_undo_a_line(embedded: EmbeddedRegistry, home: Path) -> None:
    configure(home, "dry-run = true\n")
    done = await pushed(home, "me/tiny", "--to", f"{embedded.host}/", REGISTRY_PUSH_DRY_RUN="false")
    assert done.code == 0 and tags(embedded)


async def test_a_name_that_is_typed_goes_before_a_line_that_says_all(embedded: EmbeddedRegistry, home: Path) -> None:
    write_sample_store(home / ".ollama/models", name="me/other:latest", weights=80_000)
    configure(home, "all = true\n")
    done = await pushed(home, "me/tiny", "--to", f"{embedded.host}/")
    assert done.code == 0, done.err
    assert len(tags(embedded)) == 1


async def test_what_is_left_out_of_a_line_that_says_all_is_typed(embedded: EmbeddedRegistry, home: Path) -> None:
    write_sample_store(home / ".ollama/models", name="me/other:latest", weights=80_000)
    configure(home, "all = true\n")
    done = await pushed(home, "!me/other*", "--to", f"{embedded.host}/")
    assert done.code == 0, done.err
    assert len(tags(embedded)) == 1


async def test_one_text_is_no_list_of_letters(embedded: EmbeddedRegistry, home: Path) -> None:
    configure(home, 'tag = "stable"\n')
    done = await pushed(home, "me/tiny", "--to", f"{embedded.host}/")
    assert done.code == 0, done.err
    assert len(tags(embedded)) == 2


@pytest.mark.parametrize("by", ["line", "variable", "flag"])
async def test_a_tilde_is_the_home(home: Path, by: str) -> None:
    (home / ".ollama/models").rename(home / "mine")
    if by == "line":
        configure(home, 'models = "~/mine"\n')
    variables = {"REGISTRY_PUSH_MODELS": "~/mine"} if by == "variable" else {}
    flags = ["--models=~/mine"] if by == "flag" else []
    done = await command("list", *flags, home=home, **variables)
    assert done.code == 0 and "me/tiny" in done.out, done.err


# ── what is wrong says where ──────────────────────────────────────────────────────────────────────

WRONG_TYPES = [
    *("tls-verify = 7", 'tls-verify = "false"', "tls-verify = []", "all = 1", 'dry-run = "yes"', "no-resume = 0"),
    *("jobs = 2.5", "jobs = true", "jobs = [4]", 'jobs = "four"', "jobs = 1979-05-27", "retries = 1e3"),
    *("models = 7", 'models = ""', "ca-file = false", "state-dir = ['a']", 'models = "\\u0000"'),
    *("to = 5", "to = ['localhost:1/']", "tag = 5", "tag = ['a', 5]", "allow-realm = {}"),
    *("chunk-size = true", 'chunk-size = "lots"', "bwlimit = 1.5", 'retry-for = "soon"', "timeout = true"),
    *('dialect = "docker"', "verify = 1", 'port = "abc"', "raw = 3", "list = 'x'"),
]


@pytest.mark.parametrize("line", WRONG_TYPES)
async def test_a_wrong_type_is_an_error_that_names_the_line(home: Path, line: str) -> None:
    file = configure(home, f"# mine\n\n{line}\n")
    done = await pushed(home, "me/tiny", "--to", "localhost:1/")
    key = line.partition(" ")[0]
    assert done.code == 2 and "Traceback" not in done.err
    assert f"error: {file}, line 3: " in done.err and key in done.err and "→ write" in done.err


BAD_VALUES: dict[str, str] = {
    "jobs": "0",
    "retries": "101",
    "timeout": "0.5",
    "retry-for": "8d",
    "chunk-size": "1kB",
    "bwlimit": "1B",
    "user-agent": "naïve",
    "allow-address": "10.0.0.0/99",
    "cert": "/half.pem",
    "to": "me/",
    "tag": "-x",
    "models": "/nowhere/models",
    "ca-file": "/nowhere/ca.pem",
    "congestion": "nope",
}


@pytest.mark.parametrize("key", BAD_VALUES)
@pytest.mark.parametrize("by", ["line", "variable"])
async def test_a_bad_value_says_which_line_or_variable_it_is_from(home: Path, key: str, by: str) -> None:
    value, variable = BAD_VALUES[key], f"REGISTRY_PUSH_{key.replace('-', '_').upper()}"
    file = configure(home, f'retries = 0\n\n{key} = "{value}"\n' if by == "line" and key != "retries" else "")
    if by == "line" and key == "retries":
        configure(home, f"\n\n{key} = {value}\n")
    variables = {variable: value} if by == "variable" else {}
    to = [] if key == "to" else ["--to", "localhost:1/"]
    done = await pushed(home, "me/tiny", *to, **variables)
    assert done.code in (2, 3)
    assert (f"{file}, line 3" if by == "line" else variable) in done.err, done.err


@pytest.mark.parametrize("key", ["jobs", "chunk-size", "dialect", "tls-verify"])
async def test_what_is_no_value_at_all_names_the_variable(home: Path, key: str) -> None:
    variable = f"REGISTRY_PUSH_{key.replace('-', '_').upper()}"
    done = await pushed(home, "me/tiny", "--to", "localhost:1/", **{variable: "seven?"})
    assert done.code == 2 and variable in done.err and "Traceback" not in done.err


async def test_what_was_typed_is_called_by_its_flag(home: Path) -> None:
    configure(home, "jobs = 3\n")
    done = await pushed(home, "me/tiny", "--to", "localhost:1/", "--jobs", "0", REGISTRY_PUSH_JOBS="2")
    assert done.code == 2 and "error: --jobs 0 is out of range" in done.err


async def test_a_variable_that_names_no_file_is_named(home: Path) -> None:
    done = await command("list", home=home, REGISTRY_PUSH_CONFIG="/nowhere/x.toml")
    assert done.code == 3 and "REGISTRY_PUSH_CONFIG" in done.err


@pytest.mark.parametrize("flags", [["--port", "99999"], []], ids=["flag", "line"])
async def test_the_service_says_so_too(home: Path, flags: list[str]) -> None:
    file = configure(home, "" if flags else "port = 99999\n")
    done = await command("serve", *flags, home=home)
    assert done.code == 2 and (f"{file}, line 1" in done.err) != bool(flags)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("job", "jobs"),
        ("chunk_size", "chunk-size"),
        ("'--jobs'", "jobs"),
        ("resume", "no-resume"),
        ("tags", "tag"),
        ("dryrun", "dry-run"),
        ("allow-targets", "allow-target"),
        ("Jobs", "jobs"),
    ],
)
async def test_a_near_miss_gets_a_suggestion(home: Path, typed: str, meant: str) -> None:
    file = configure(home, f"\n{typed} = 1\n")
    done = await command("list", home=home)
    assert done.code == 2
    assert f"{file}, line 2" in done.err and "did you mean" in done.err and meant in done.err


async def test_a_line_inside_a_text_is_not_taken_for_the_one_that_sets(home: Path) -> None:
    file = configure(home, 'user-agent = """a\\\njobs = 3"""\njobs = 0\n')
    done = await pushed(home, "me/tiny", "--to", "localhost:1/")
    assert done.code == 2 and f"{file}, line 3: jobs 0" in done.err


# ── registry-push config ──────────────────────────────────────────────────────────────────────────


async def shown(home: Path, *flags: str, **variables: str) -> dict[str, dict[str, Any]]:
    done = await command("config", "--json", *flags, home=home, **variables)
    assert done.code == 0, done.err
    return {each["name"]: each for each in json.loads(done.out.splitlines()[-1])["settings"]}


async def test_config_shows_each_value_and_where_it_is_from(home: Path) -> None:
    file = configure(home, '# mine\njobs = 3\nchunk-size = "64MiB"\nto = "localhost:5000/"\n')
    rows = await shown(home, "--timeout", "30", REGISTRY_PUSH_CHUNK_SIZE="4MB", REGISTRY_PUSH_RETRIES="2")
    assert rows["jobs"] == {"name": "jobs", "value": 3, "source": "file", "file": str(file), "line": 2}
    assert rows["to"]["value"] == "localhost:5000/" and rows["to"]["line"] == 4
    assert rows["chunk-size"]["value"] == 4_000_000
    assert rows["chunk-size"]["source"] == "environment"
    assert rows["chunk-size"]["variable"] == "REGISTRY_PUSH_CHUNK_SIZE"
    assert rows["retries"]["value"] == 2
    assert (rows["timeout"]["value"], rows["timeout"]["source"]) == (30, "command line")
    assert (rows["verify"]["value"], rows["verify"]["source"]) == ("changed", "default")
    assert rows["models"]["value"] == str(home / ".ollama/models")
    assert rows["state-dir"]["value"] == str(home / ".local/state/registry-push")


async def test_config_shows_the_store_that_ollamas_variable_names(home: Path) -> None:
    rows = await shown(home, OLLAMA_MODELS="/srv/models")
    assert (rows["models"]["value"], rows["models"]["variable"]) == ("/srv/models", "OLLAMA_MODELS")


async def test_config_is_readable_without_json(home: Path) -> None:
    configure(home, 'jobs = 3\nchunk-size = "64MiB"\n')
    done = await command("config", home=home)
    lines = [line.split("    ") for line in done.out.splitlines()]
    cells = {line[0]: [cell.strip() for cell in line[1:] if cell.strip()] for line in lines}
    assert cells["config"] == ["~/.config/registry-push/config.toml", "default"]
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert cells["jobs"] == ["3", "config.toml, line 1"]
    assert cells["chunk-size"] == ["64 MiB", "config.toml, line 2"]


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
async def test_config_shows_no_secret(home: Path, flags: list[str]) -> None:
    configure(home, 'to = "https://me:hunter2@registry.example.com/ml/"\nusername = "me"\n')
    variables = {
        "REGISTRY_PUSH_PASSWORD": "hunter2",
        "REGISTRY_PUSH_ALLOW_REALM": "https://me:hunter2@auth.example.com/",
        "REGISTRY_PUSH_USER_AGENT": "Authorization: Bearer hunter2",
    }
    done = await command("config", *flags, home=home, **variables)
    assert done.code == 0, done.err
    assert "hunter2" not in done.out + done.err
    assert "REGISTRY_PUSH_PASSWORD" in done.out  # that it is set is no secret


async def test_config_asks_nobody_for_a_password(home: Path) -> None:
    configure(home, 'username = "me"\npassword-stdin = true\n')
    done = await command("config", home=home, stdin="hunter2\n")
    assert done.code == 0 and "hunter2" not in done.out


async def test_config_names_variables_that_are_nearly_ours(home: Path) -> None:
    done = await command("config", home=home, REGISTRY_PUSH_JOB="4", REGISTRY_PUSH_SERVICE_HOST="10.0.0.1")
    assert done.code == 0 and "REGISTRY_PUSH_JOBS" in done.err and "SERVICE_HOST" not in done.err


async def test_config_refuses_what_every_command_would(home: Path) -> None:
    file = configure(home, "jobs = 0\n")
    done = await command("config", home=home)
    assert done.code == 2 and f"{file}, line 1: jobs 0" in done.err
