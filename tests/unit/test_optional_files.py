"""Files and folders that are looked for but need not be there, in every way in which they can be missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import lookups
from tests.support.other_user import is_unknown, public_folder, start_as_other
from tests.support.tls import self_signed

KEYS = Path(__file__).parents[2] / "fixtures" / "keys"
TOPS = (".config", ".docker", ".ollama", ".local", "etc")
FILES = (lookups.CONFIG, *lookups.LOGINS, lookups.KEY, *(f"{folder}/{lookups.HOST}/ca.crt" for folder in lookups.CERTS))
NOTHING = {
    "config": "absent",
    "login": "absent",
    "runtime login": "absent",
    "key": "absent",
    "certificates": "absent",
    "client certificate": "absent",
}


@pytest.fixture
def home() -> Iterator[Path]:
    """A home in which everything is, open to all; the system's folders of certificates are below it as well."""
    with public_folder() as outer:
        home = outer / "home"
        (home / lookups.CONFIG).parent.mkdir(parents=True)
        (home / lookups.CONFIG).write_text("verbose = true\n")
        for login in lookups.LOGINS:
            (home / login).parent.mkdir(parents=True, exist_ok=True)
            (home / login).write_text(json.dumps({"auths": {lookups.HOST: {"auth": "bWU6c2VjcmV0"}}}))
        (home / lookups.STORE).mkdir(parents=True)
        (home / lookups.KEY).write_bytes((KEYS / "id_ed25519").read_bytes())
        for number, certs in enumerate(lookups.CERTS):
            folder = home / certs / lookups.HOST
            folder.mkdir(parents=True)
            made = self_signed(outer / str(number))
            (folder / "ca.crt").write_bytes(made.cert.read_bytes())
            (folder / "client.cert").write_bytes(made.cert.read_bytes())
            (folder / "client.key").write_bytes(made.key.read_bytes())
        (home / ".local/state").mkdir(parents=True)
        yield home
        for path in home.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)


async def looked_as_other(home: Path) -> dict[str, str]:
    """What a stranger finds in `home`."""
    code = "from pathlib import Path; print(json.dumps(tests.support.lookups.look(Path(sys.argv[1]))))"
    process = await start_as_other(code, str(home), home=None)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def _remove(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.away"))


def _into_a_file(path: Path) -> None:
    _remove(path)
    path.write_text("a file")


def _into_a_dangling_link(path: Path) -> None:
    _remove(path)
    path.symlink_to("nowhere")


def _into_a_loop(path: Path) -> None:
    _remove(path)
    path.symlink_to(path.name)


def _into_a_closed_target(path: Path) -> None:
    """A link into a folder that others may not enter."""
    vault = path.with_name(f"{path.name}.vault")
    vault.mkdir(mode=0o700)
    path.rename(vault / "it")
    path.symlink_to(vault / "it")


def test_a_home_in_which_all_is_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("registry_push.http.tls._SYSTEM_FOLDERS", ())
    assert lookups.look(home) == {**dict.fromkeys(NOTHING, "there"), "state": "0 warnings", "store": "there"}


@pytest.mark.parametrize("broken", [_remove, _into_a_file, _into_a_dangling_link, _into_a_loop])
def test_a_folder_that_is_none_counts_as_absent(
    home: Path, broken: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("registry_push.http.tls._SYSTEM_FOLDERS", ())
    for top in TOPS:
        broken(home / top)
    found = lookups.look(home)
    assert found.pop("store").startswith("StoreNotFound 3")
    assert found.pop("state") == ("0 warnings" if broken is _remove else "1 warnings")
    assert found == NOTHING


@pytest.mark.parametrize("broken", [_remove, _into_a_dangling_link, _into_a_loop])
def test_a_file_that_is_none_counts_as_absent(
    home: Path, broken: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("registry_push.http.tls._SYSTEM_FOLDERS", ())
    for certs in lookups.CERTS:
        broken(home / certs / lookups.HOST / "client.cert")
    for file in FILES:
        broken(home / file)
    found = lookups.look(home)
    assert found == {**NOTHING, "state": "0 warnings", "store": "there"}


@pytest.mark.parametrize(
    "closed",
    [
        ("",),
        TOPS,
        (".config/registry-push", ".config/containers", ".config/docker", ".docker", ".ollama", "etc/docker"),
    ],
    ids=["home", "folders in it", "folders below"],
)
async def test_a_folder_that_another_user_has_closed_counts_as_absent(home: Path, closed: tuple[str, ...]) -> None:
    assert is_unknown()
    for folder in closed:
        (home / folder).chmod(0o700)
    found = await looked_as_other(home)
    assert found.pop("store").startswith("Unreadable 4"), "a store is wanted: why there is none has to be said"
    assert found.pop("state") == "1 warnings"
    assert found == NOTHING


@pytest.mark.parametrize("mode", [0o700, 0o744, 0o711])
@pytest.mark.parametrize("depth", ["certs.d", "host"])
async def test_a_folder_of_certificates_that_cannot_be_looked_into_counts_as_absent(
    home: Path, depth: str, mode: int
) -> None:
    for certs in lookups.CERTS:
        (home / certs if depth == "certs.d" else home / certs / lookups.HOST).chmod(mode)
    found = await looked_as_other(home)
    # Who may enter `certs.d` needs no list of the hosts in it.
    expected = "there" if (depth, mode) == ("certs.d", 0o711) else "absent"
    assert found["certificates"] == found["client certificate"] == expected
    assert found["config"] == found["login"] == "there"


async def test_a_file_that_may_not_be_read_in_an_open_folder_is_an_error_that_names_it(home: Path) -> None:
    for file in FILES:
        (home / file).chmod(0o600)
    found = await looked_as_other(home)
    assert found["config"].startswith(f"Unreadable 4: the configuration file can't be read: {home / lookups.CONFIG} ")
    assert found["login"].startswith(f"Unreadable 4: the file of logins can't be read: {home / lookups.LOGINS[0]} ")
    assert found["key"].startswith(f"Unreadable 4: the key can't be read: {home / lookups.KEY} ")
    first = home / lookups.CERTS[0] / lookups.HOST / "ca.crt"
    assert found["certificates"].startswith(f"Unreadable 4: the CA file can't be read: {first} ")


async def test_a_link_into_a_closed_folder_counts_as_absent(home: Path) -> None:
    for certs in lookups.CERTS:
        (home / certs / lookups.HOST / "client.cert").unlink()
    for file in FILES:
        _into_a_closed_target(home / file)
    found = await looked_as_other(home)
    assert {name: found[name] for name in NOTHING} == NOTHING
