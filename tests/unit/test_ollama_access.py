"""Where a store is looked for, and what is said of one that belongs to somebody else."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_push.content import read_errors
from registry_push.content.ollama import paths as ollama_paths
from registry_push.content.ollama.paths import find_root, usual_roots
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import (
    StoreNotFound,
    Unreadable,
)
from tests.support.stores import weights_of

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ollama"
ROOT = os.name == "posix" and os.getuid() == 0
root_only = pytest.mark.skipif(not ROOT, reason="only root can become another user")


class TestFindingTheStore:
    def test_the_flag_then_the_variable_then_the_usual_places(self, tmp_path: Path) -> None:
        flag, variable, usual = tmp_path / "flag", tmp_path / "variable", tmp_path / ".ollama" / "models"
        for folder in (flag, variable, usual):
            folder.mkdir(parents=True)
        assert find_root(flag, str(variable), tmp_path) == flag
        assert find_root(None, str(variable), tmp_path) == variable
        assert find_root(None, None, tmp_path) == usual

    def test_the_variable_is_stripped_as_ollama_does(self, tmp_path: Path) -> None:
        # TrimSpace, then Trim of both quotes: spaces inside the quotes stay.
        assert find_root(None, f"  '{tmp_path}\" \n", tmp_path) == tmp_path
        (tmp_path / ".ollama" / "models").mkdir(parents=True)
        assert find_root(None, ' "" ', tmp_path) == tmp_path / ".ollama" / "models"
        with pytest.raises(StoreNotFound):
            find_root(None, f'" {tmp_path}"', tmp_path)

    def test_a_named_place_that_is_none_is_not_replaced_by_another(self, tmp_path: Path) -> None:
        (tmp_path / ".ollama" / "models").mkdir(parents=True)
        (tmp_path / "file").write_text("")
        for place in (tmp_path / "absent", tmp_path / "file"):
            with pytest.raises(StoreNotFound, match="--models"):
                find_root(place, None, tmp_path)
            with pytest.raises(StoreNotFound, match="OLLAMA_MODELS"):
                find_root(None, str(place), tmp_path)

    def test_every_place_that_was_looked_at_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StoreNotFound) as caught:
            find_root(None, None, tmp_path, platform="darwin")
        assert str(tmp_path / ".ollama" / "models") in caught.value.message
        assert caught.value.hint == "say where it is: --models DIR, or OLLAMA_MODELS=DIR"
        assert caught.value.exit_code == 3

    def test_the_usual_places(self) -> None:
        home = Path("/home/me")
        assert list(map(str, usual_roots(home, "linux"))) == [
            "/home/me/.ollama/models",
            "/usr/share/ollama/.ollama/models",
            "/var/lib/ollama/models",
            "/var/lib/ollama",
        ]
        assert usual_roots(home, "darwin") == usual_roots(home, "win32") == (home / ".ollama" / "models",)


@root_only
class TestStoreOfAnotherUser:
    """Real permissions: a child that is `nobody` reads what belongs to root."""

    SCRIPT = """
import os, sys
from pathlib import Path
from registry_push.errors import RegistryPushError
from registry_push.model import ModelName
from registry_push.content.ollama.source import OllamaStore
from registry_push.content.ollama.paths import find_root
os.setgroups([]); os.setgid(65534); os.setuid(65534)
store = OllamaStore(Path(sys.argv[1]))
manifest_path = Path(sys.argv[2])
from registry_push.model import Manifest
manifest = Manifest.parse(manifest_path.read_bytes())
blob = manifest.layers[0]
steps = {
    "find": lambda: find_root(store.root, None, store.root),
    "list": store.scan,
    "exact": lambda: store.read_manifest(ModelName.parse("me/tiny")),
    "alias": lambda: store.read_manifest(ModelName.parse("ME/tiny")),
    "open": lambda: store.blobs.open(blob).close(),
    "check": lambda: store.blobs.check(manifest),
}
for step, run in steps.items():
    try:
        run()
    except RegistryPushError as error:
        print(step, type(error).__name__, error.exit_code, error, "|", error.hint)
    else:
        print(step, "ok")
"""

    @pytest.fixture
    def opened(self) -> Iterator[OllamaStore]:
        """A store that everybody can read, and the way to it; not below pytest's folder, which pytest closes."""
        with tempfile.TemporaryDirectory() as outer:
            root = Path(outer, "inner", "models")
            write_sample_store(root, weights=4000)
            (root.parent / "copy").write_bytes((root / "manifests/registry.ollama.ai/me/tiny/latest").read_bytes())
            for path in (Path(outer), *Path(outer).rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            yield OllamaStore(root)

    def as_nobody(self, store: OllamaStore) -> dict[str, str]:
        copy = os.path.realpath(store.root.parent / "copy")
        done = subprocess.run(
            [sys.executable, "-c", self.SCRIPT, str(store.root), copy],
            capture_output=True,
            text=True,
            cwd=FIXTURES.parents[1],
        )
        assert done.returncode == 0, done.stderr
        return dict(line.split(" ", 1) for line in done.stdout.splitlines())

    def test_what_is_open_to_all_is_read(self, opened: OllamaStore) -> None:
        assert set(self.as_nobody(opened).values()) == {"ok"}

    @pytest.mark.parametrize(
        ("closed", "failing"),
        [
            ("..", {"find", "list", "exact", "alias", "open", "check"}),
            (".", {"list", "exact", "alias", "open", "check"}),
            ("manifests", {"list", "exact", "alias"}),
            ("manifests/registry.ollama.ai/me", {"list", "exact", "alias"}),
            ("manifests/registry.ollama.ai/me/tiny/latest", {"exact", "alias"}),
            ("blobs", {"open", "check"}),
            ("blob", {"open", "check"}),
        ],
    )
    def test_what_is_closed_says_whose_it_is(self, opened: OllamaStore, closed: str, failing: set[str]) -> None:
        path = weights_of(opened)[1] if closed == "blob" else (opened.root / closed).resolve()
        if closed == "..":
            (opened.root.parent / "copy").rename(opened.root.parents[1] / "copy")
            (opened.root.parent / "copy").symlink_to("../copy")
        path.chmod(0o700 if path.is_dir() else 0o600)
        said = self.as_nobody(opened)
        assert {step for step, text in said.items() if text != "ok"} == failing
        for step in failing:
            assert said[step] == (
                f"Unreadable 4 the store can't be read: {path} belongs to root"
                " | run it as that user: sudo -u root registry-push …"
            )

    def test_a_group_that_may_read_is_named(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o750)
        os.chown(tmp_path, 54321, grp.getgrnam("users").gr_gid)
        assert "sudo usermod -aG users $USER" in (read_errors.unreadable(tmp_path).hint or "")
        for powerful in ("root", "sudo", "disk"):
            os.chown(tmp_path, 54321, grp.getgrnam(powerful).gr_gid)
            assert "usermod" not in (read_errors.unreadable(tmp_path).hint or "")

    def test_an_owner_without_a_name_is_a_number(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o700)
        os.chown(tmp_path, 54321, 54321)
        error = read_errors.unreadable(tmp_path)
        assert str(error).endswith("belongs to uid 54321") and "sudo -u '#54321' " in (error.hint or "")

    @pytest.mark.parametrize(
        ("owner", "words", "step"),
        [
            ("the user", "keeps you, its owner, out", "chmod u+r {}"),
            ("root, in a folder of the user", "belongs to root", "sudo chown $USER {}"),
        ],
    )
    def test_a_file_of_one_s_own_is_opened_or_taken_back(
        self, tmp_path: Path, owner: str, words: str, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Proposing `sudo -u` to oneself, or to work as root for good, mends nothing."""
        file = tmp_path / "key"
        file.write_bytes(b"")
        file.chmod(0)
        os.chown(tmp_path, 54321, 54321)
        if owner == "the user":
            os.chown(file, 54321, 54321)
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
        error = read_errors.unreadable(file, what="the key")
        assert words in str(error) and step.format(file) in (error.hint or ""), error.hint

    def test_a_closed_usual_place_is_named_only_if_no_other_is_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def closed(place: Path) -> bool:
            if place.name == "closed":
                raise Unreadable(f"{place} is closed")
            return place.is_dir()

        monkeypatch.setattr(ollama_paths, "_is_folder", closed)
        monkeypatch.setattr(ollama_paths, "usual_roots", lambda *_: (tmp_path / "closed", tmp_path / "open"))
        with pytest.raises(Unreadable):
            find_root(None, None, tmp_path)
        (tmp_path / "open").mkdir()
        assert find_root(None, None, tmp_path) == tmp_path / "open"
