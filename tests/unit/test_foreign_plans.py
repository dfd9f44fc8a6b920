"""Plans of skopeo sync and regsync, whole: what they become, and which lines are named."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from registry_push.errors import UsageError
from registry_push.verbs.conversion import Converted, converted_regsync, converted_skopeo

PLANS = Path(__file__).parents[1] / "plans"
EXAMPLES = sorted(PLANS.glob("*/*.yml"))
# What stands in the examples where logins and keys do.
SECRET = "hunter2"


def converted(file: Path) -> Converted:
    if file.parent.name == "skopeo":
        return converted_skopeo(file.read_text(), file.name, "my-registry.local.lan/repo/")
    return converted_regsync(file.read_text(), file.name)


def notes_of(found: Converted) -> str:
    return "".join(f"{note.line}: {note.key}: {note.message}\n" for note in found.notes)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_an_example_becomes_a_plan(file: Path) -> None:
    """With REGISTRY_PUSH_RECORD=1 the expectation is written anew, to be read in the diff."""
    found = converted(file)
    if os.environ.get("REGISTRY_PUSH_RECORD"):
        file.with_suffix(".toml").write_text(found.text)
        file.with_suffix(".notes").write_text(notes_of(found))
    assert found.text == file.with_suffix(".toml").read_text()
    assert notes_of(found) == file.with_suffix(".notes").read_text()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_no_secret_is_taken_over_or_shown(file: Path) -> None:
    found = converted(file)
    assert SECRET not in found.text
    assert SECRET not in notes_of(found)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_the_comments_are_toml_too(file: Path) -> None:
    """An entry that is left as a comment needs its tags only."""
    text = converted(file).text
    lines = [line.removeprefix("# ") if line.startswith(("# [[", '# source = "', "# target")) else line
             for line in text.split("\n")]  # fmt: skip
    assert all({"source", "target"} <= entry.keys() for entry in tomllib.loads("\n".join(lines)).get("sync", []))


def test_without_a_target_a_plan_of_skopeo_copies_nothing_anywhere() -> None:
    found = converted_skopeo("\n\nexample.com:\n  images:\n    me/a: [v1]\n", "sync.yml")
    assert tomllib.loads(found.text)["sync"] == [
        {"source": "registry:example.com/me/a", "target": "registry:target.invalid/a", "tags": ["v1"]}
    ]
    (note,) = found.notes
    assert (note.line, note.key) == (3, "target")
    assert "--to HOST/PATH/" in note.message


@pytest.mark.parametrize(
    ("target", "spelt"),
    [
        ("example.org", "registry:example.org/a"),
        ("example.org/", "registry:example.org/a"),
        ("registry:example.org/ml", "registry:example.org/ml/a"),
        ("docker://example.org/ml/", "registry:example.org/ml/a"),
        ("http://registry/ml/", "registry:http://registry/ml/a"),
        ("registry:registry/ml", "registry:registry/ml/a"),
        ("registry:5000/ml", "registry:registry:5000/ml/a"),
        ("oci:mirror", "oci:mirror"),
    ],
)
def test_repositories_go_below_the_target(target: str, spelt: str) -> None:
    found = converted_skopeo("example.com: {images: {me/a: []}}", "sync.yml", target)
    assert [entry["target"] for entry in tomllib.loads(found.text)["sync"]] == [spelt]


@pytest.mark.parametrize("target", ["", "me/", "example.org/UPPER/", "me:hunter2@example.org/", "example.org/a:b/"])
def test_what_is_no_target_is_refused(target: str) -> None:
    with pytest.raises(UsageError, match="--to") as raised:
        converted_skopeo("example.com: {images: {me/a: []}}", "sync.yml", target)
    assert raised.value.hint
    assert SECRET not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize(
    ("tool", "text", "message", "hint"),
    [
        ("skopeo", "", "plan.yml: the file is empty", "another file"),
        ("skopeo", "\n# nothing\n", "plan.yml: the file is empty", "another file"),
        ("skopeo", "\n- a\n", "plan.yml, line 2: this is no plan of skopeo sync: it is no mapping", "another file"),
        ("skopeo", "a: 1", "plan.yml, line 1: this is no plan of skopeo sync", "images:"),
        ("skopeo", "version: 1\nsync: []", "this is no plan of skopeo sync", "--from-regsync"),
        ("regsync", "example.com: {images: {}}", "this is no plan of regsync", "--from-skopeo"),
        ("regsync", "text", "plan.yml, line 1: this is no plan of regsync: it is no mapping", "another file"),
        ("regsync", "version: 2\nsync: []", "plan.yml, line 1: only version 1", "version: 1"),
        ("regsync", "apiVersion: v1\nkind: ConfigMap\n---\na: 1", "an object of Kubernetes", "a file of its own"),
        ("regsync", "sync: []\n---\nsync: []\n", "plan.yml, line 2: a second document", "a file of its own"),
    ],
)
def test_what_is_no_such_plan_is_refused(tool: str, text: str, message: str, hint: str) -> None:
    convert = converted_skopeo if tool == "skopeo" else converted_regsync
    with pytest.raises(UsageError) as raised:
        convert(text, "plan.yml")
    assert message in str(raised.value)
    assert hint in str(raised.value.hint)


def test_more_tags_than_a_plan_takes_are_divided() -> None:
    tags = [f"v{number}" for number in range(1200)]
    found = converted_skopeo(f"example.com: {{images: {{a: [{', '.join(tags)}]}}}}", "sync.yml", "example.org/")
    entries = tomllib.loads(found.text)["sync"]
    assert [len(entry["tags"]) for entry in entries] == [1000, 200]
    assert [tag for entry in entries for tag in entry["tags"]] == tags


def test_a_name_of_the_file_can_not_leave_its_comment() -> None:
    found = converted_skopeo("example.com: {images: {a: []}}", "a\n[defaults]\njobs = 1\x1b[2J", "example.org/")
    assert tomllib.loads(found.text)["defaults"] == {"referrers": "none"}
    assert "\x1b" not in found.text


@pytest.mark.parametrize(
    "images",
    [
        *('{images: {a: [""]}}', "{images: {a: [~]}}", "{images: {a: {b: c}}}", "{images: {a: [[v1]]}}"),
        *("{images: {a: [bad tag]}}", "{images-by-tag-regex: {a: [v1]}}", "{images-by-tag-regex: {a: ^$}}"),
        *("{images-by-semver: {a: ''}}", "{images-by-semver: {a: {}}}"),
    ],
)
def test_tags_of_skopeo_that_can_not_be_read_do_not_become_all_tags(images: str) -> None:
    found = converted_skopeo(f"example.com: {images}", "sync.yml", "example.org/")
    assert tomllib.loads(found.text).get("sync", []) == []
    assert found.notes


@pytest.mark.parametrize(
    "filters",
    [
        *(
            "tags: latest",
            "tags: [latest]",
            "tags: {allow: {a: b}}",
            "tags: {allow: [[latest]]}",
            "tags: {allow: ['(']}",
        ),
        *("tags: {allow: [~]}", "tags: {deny: {a: b}}", "tags: {semverRange: [latest]}", "tags: {semverRange: {}}"),
        *("tagSets: latest", "tagSets: [latest]", "tagSets: [{allow: [latest]}, v1]"),
        *("repos: alpine", "repos: {allow: [[]]}"),
    ],
)
def test_filters_of_regsync_that_can_not_be_read_do_not_become_all_tags(filters: str) -> None:
    kind = "registry" if filters.startswith("repos") else "repository"
    text = f"sync:\n- {{source: 'example.com:5000/a', target: 'example.org:5000/a', type: {kind}, {filters}}}\n"
    found = converted_regsync(text.replace("5000/a'", "5000'") if kind == "registry" else text, "regsync.yml")
    assert tomllib.loads(found.text).get("sync", []) == []
    assert any("left as a comment" in note.message for note in found.notes)


def test_an_empty_filter_is_none_beside_a_set() -> None:
    text = "sync:\n- {source: a.com/a, target: b.com/a, type: repository, tags: {allow: []}, tagSets: [{allow: [v1]}]}"
    (entry,) = tomllib.loads(converted_regsync(text, "regsync.yml").text)["sync"]
    assert entry["tags"] == ["v1"]


def test_no_glob_is_empty() -> None:
    """A plan takes none; and no tag is empty."""
    text = "sync:\n- {source: a.com/a, target: b.com/a, type: repository, tags: {allow: ['v?']}}"
    (entry,) = tomllib.loads(converted_regsync(text, "regsync.yml").text)["sync"]
    assert entry["tags"] == ["v"]


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", '"[::1]:5000"'])
def test_a_registry_of_skopeo_on_this_machine_is_not_made_one_with_tls(host: str) -> None:
    found = converted_skopeo(f"{host}:\n  tls-verify: false\n  images: {{a: []}}", "sync.yml", "example.org/")
    assert "host" not in tomllib.loads(found.text)
    (note,) = found.notes
    assert note.line == 2 and "http is spoken anyway" in note.message


def test_elsewhere_a_registry_of_skopeo_that_is_not_verified_is_not_verified_here() -> None:
    found = converted_skopeo("old.lan:\n  tls-verify: no\n  images: {a: []}", "sync.yml", "example.org/")
    assert tomllib.loads(found.text)["host"] == {"old.lan": {"tls-verify": False}}
    assert "speaks http needs plain-http = true" in notes_of(found)


@pytest.mark.parametrize("key", ["https://u:s3cret@old.lan", "u:s3cret@old.lan:5000", "s3cret@old.lan"])
def test_a_login_in_a_key_of_skopeo_is_not_shown(key: str) -> None:
    below = "{credentials: {}, tls-verify: maybe, cert-dir: /x, typo: 1, images: {a: [v1], u:s3cret@x/b: [v1]}}"
    for value in (below, "text", "{images: {}}"):
        found = converted_skopeo(f"example.com: {{images: {{a: []}}}}\n{key}: {value}", "sync.yml", "example.org/")
        assert "s3cret" not in found.text + notes_of(found)
        assert "old.lan" in notes_of(found)
