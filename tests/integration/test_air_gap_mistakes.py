"""What people who carry models for the first time type: each message names what to type instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry_push.cli.render.tables import BegunRow, under_way_lines
from registry_push.model import Digest
from tests.support.command import command
from tests.support.given_models import blob_file, write_model
from tests.support.stores import make_mixed_store

KB = 1000
NAME = "gap/one"


@pytest.fixture
async def media(tmp_path: Path) -> Path:
    """A folder with an export in volumes, and its sums."""
    make_mixed_store(tmp_path / ".ollama/models", [600 * KB, 300 * KB, 20 * KB], name=NAME)
    done = await command("export", NAME, "--to", f"{tmp_path}/media/a.tar", "--split", "400kB", home=tmp_path)
    assert done.code == 0, done.err
    return tmp_path / "media"


@pytest.mark.parametrize("verb", ["verify", "inventory", "copy"])
async def test_an_archive_without_its_prefix(tmp_path: Path, media: Path, verb: str) -> None:
    target = ["oci:there"] if verb == "copy" else []
    done = await command(verb, "media/a.tar", *target, home=tmp_path)
    assert done.code == 3 and "write oci-archive:media/a.tar" in done.err


async def test_the_sums_among_the_files(tmp_path: Path, media: Path) -> None:
    done = await command("import", *map(str, sorted(media.iterdir())), "--to", "ollama:", home=tmp_path)
    assert done.code == 7
    assert f"{media}/a.sha256 is no tar file" in done.err and "name the archive" in done.err
    since = await command("export", NAME, "--to", "b.tar", "--since", str(media / "a.sha256"), home=tmp_path)
    assert since.code == 7 and "is no tar file" in since.err


async def test_a_place_instead_of_its_inventory(tmp_path: Path, media: Path) -> None:
    done = await command("export", NAME, "--to", "b.tar", "--since", "ollama:", home=tmp_path)
    assert done.code == 3 and "registry-push inventory ollama: > FILE" in done.err


async def test_one_volume_alone_names_its_others(tmp_path: Path, media: Path) -> None:
    done = await command("verify", f"oci-archive:{media}/a.v002.tar", home=tmp_path)
    assert "missing beside a.v002.tar: a.v001.tar" in done.err and "oci-archive:NAME.tar" in done.err


async def test_a_dry_run_of_an_import_does_not_deny_that_it_hashed_everything(tmp_path: Path, media: Path) -> None:
    hashed = await command("import", str(media), "--to", "oci:there", "--dry-run", home=tmp_path)
    unread = await command("import", str(media), "--to", "oci:there", "--dry-run", "--no-check", home=tmp_path)
    assert hashed.code == unread.code == 0
    assert "the content of blobs" not in hashed.out and "the content of blobs" in unread.out


def test_an_export_of_several_models_is_listed() -> None:
    models = tuple(f"ollama:registry.ollama.ai/library/m{n}:latest" for n in range(5))
    row = BegunRow("any", "oci-archive:/a.tar", 0.0, "/store", models)
    listed = under_way_lines([], [row], [], now=60.0)[1]
    assert listed.startswith("ollama:m0:latest, ollama:m1:latest, ollama:m2:latest and 2 more in /store ")


async def test_an_export_that_can_never_end_well_is_not_kept_to_be_resumed(tmp_path: Path) -> None:
    models = tmp_path / ".ollama/models"
    write_model(models, "me/good", [b"weights"])
    write_model(models, "me/bad", [b"other weights"])
    blob_file(models, Digest.of(b"other weights")).write_bytes(b"wrong weights")
    done = await command("export", "--all", "--to", f"{tmp_path}/a.tar", home=tmp_path)
    assert done.code == 7, done.err
    assert (await command("resume", "--list", home=tmp_path)).out == "nothing is under way\n"


async def test_where_push_goes_is_not_where_an_import_goes(tmp_path: Path) -> None:
    write_model(tmp_path / ".ollama/models", "me/good", [b"weights"])
    assert (await command("export", "me/good", "--to", f"{tmp_path}/a.tar", home=tmp_path)).code == 0
    done = await command("import", f"{tmp_path}/a.tar", home=tmp_path, REGISTRY_PUSH_TO="127.0.0.1:9/ml/")
    assert done.code == 2
    assert "import needs a place" in done.err


async def test_an_ending_in_capitals_is_no_folder(tmp_path: Path) -> None:
    write_model(tmp_path / ".ollama/models", "me/good", [b"weights"])
    done = await command("export", "me/good", "--to", f"{tmp_path}/A.TAR", home=tmp_path)
    assert done.code == 2
    assert f"--to {tmp_path}/A.tar" in done.err
    assert not (tmp_path / "A.TAR").exists()


async def test_a_folder_of_which_some_models_failed_says_what_is_in_it(tmp_path: Path) -> None:
    models = tmp_path / ".ollama/models"
    write_model(models, "me/good", [b"weights"])
    write_model(models, "me/bad", [b"other weights"])
    blob_file(models, Digest.of(b"other weights")).write_bytes(b"wrong weights")
    done = await command("export", "--all", "--to", f"{tmp_path}/folder", home=tmp_path)
    assert done.code == 8, done.err
    document = json.loads((tmp_path / "folder/registry-push.json").read_text())
    assert [each["name"] for each in document["manifests"]] == ["registry.ollama.ai/me/good:latest"]
