"""Plans of `sync`: what they mean, and errors that name the file, the line, the key and what was probably meant."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from registry_push.errors import InvalidPlan, NotAtSource
from registry_push.model.place import (
    ArchivePlace,
    Below,
    CatalogPlace,
    Exactly,
    LayoutPlace,
    OllamaPlace,
    RegistryPlace,
)
from registry_push.model.tag_filter import TagFilter
from registry_push.verbs.sync.plan import Backup, SyncPlan
from registry_push.verbs.sync.plan_reader import read_plan
from registry_push.verbs.sync.plan_text import PlanText, read_plan_text

USUAL = 'source = "registry:a.example/ml/"\ntarget = "registry:b.example/"'


def plan(text: str) -> SyncPlan:
    return read_plan(PlanText.parse("plan.toml", text))


def entry(more: str = "", *, source: str = "registry:a.example/ml/", target: str = "registry:b.example/") -> Any:
    (found,) = plan(f'[[sync]]\nsource = "{source}"\ntarget = "{target}"\n{more}').entries
    return found


def refused(text: str) -> InvalidPlan:
    with pytest.raises(InvalidPlan) as caught:
        plan(text)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("registry:a.example/", CatalogPlace),
        ("registry:a.example/ml/", CatalogPlace),
        ("registry:a.example/ml/llama", RegistryPlace),
        ("registry:a.example/ml/llama:8b", RegistryPlace),
        ("ollama:", OllamaPlace),
        ("ollama:llama3", OllamaPlace),
        ("oci:./layout", LayoutPlace),
        ("oci-archive:file.tar", ArchivePlace),
    ],
)
def test_sources(source: str, kind: type) -> None:
    found = entry(source=source)
    assert isinstance(found.source, kind) and found.source_text == source
    assert found.where == "plan.toml, line 1" and found.number == 1


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("registry:b.example/", Below),
        ("registry:b.example/x/", Below),
        ("registry:b.example/x", Exactly),
        ("ollama:", OllamaPlace),
        ("oci:./layout", LayoutPlace),
    ],
)
def test_targets(target: str, kind: type) -> None:
    assert [type(each) for each in entry(target=target).targets] == [kind]


def test_all_that_an_entry_may_say() -> None:
    found = entry(
        """
models = ["llama3*", "!*-fp16"]
tags = { include = ["8b*"], exclude = "*-rc", semver = ">=1", latest = 5, sort = "semver", immutable = "v*", min = 1 }
rename = { "library/(.*)" = "mirror/\\\\1" }
on-exists = "update"
backup = "{tag}-before-{date}"
referrers = "application/vnd.example.sig"
"""
    )
    assert found.models == ("llama3*", "!*-fp16")
    assert found.tags == TagFilter(("8b*",), ("*-rc",), ">=1", 5, "semver", ("v*",), 1)
    assert found.renaming.rules[0].applied("library/m") == "mirror/m"
    assert (found.on_exists, found.backup, found.referrers) == (
        "update",
        Backup("{tag}-before-{date}"),
        "application/vnd.example.sig",
    )


def test_a_plain_list_of_tags_includes() -> None:
    assert entry('tags = ["latest", "!x*"]').tags == TagFilter.parse(include=["latest", "!x*"])
    assert entry('tags = "latest"').tags == TagFilter(("latest",))
    assert entry("[sync.tags]\nlatest = 3").tags == TagFilter(latest=3)


def test_defaults_hold_if_an_entry_does_not_say() -> None:
    found = plan(
        """
[defaults]
jobs = 2
retry-for = "1m"
on_exists = "keep"
tags = ["v*"]
[host."a.example"]
plain-http = true
[[sync]]
source = "registry:a.example/x"
target = "registry:b.example/"
[[sync]]
source = "registry:a.example/y"
target = ["registry:b.example/", "oci:layout"]
on_exists = "error"
tags = { latest = 1 }
"""
    )
    first, second = found.entries
    assert (first.on_exists, first.tags) == ("keep", TagFilter(("v*",)))
    assert (second.on_exists, second.tags) == ("error", TagFilter(latest=1))
    assert found.settings == {"jobs": 2, "retry_for": "1m"}
    assert found.hosts == {"a.example": {"plain_http": True}}
    assert len(second.targets) == 2 and second.where == "plan.toml, line 12"


def test_defaults_that_say_nothing_about_an_entry() -> None:
    found = plan(
        """
[defaults]
tags = { include = ["v*"], immutable = "v*" }
models = ["m*"]
backup = "{tag}-old"
referrers = "all"
[[sync]]
source = "registry:a.example/m:latest"
target = "registry:b.example/"
[[sync]]
source = "registry:a.example/other"
target = "registry:b.example/"
on_exists = "keep"
[[sync]]
source = "registry:a.example/ml/"
target = "ollama:"
"""
    )
    one, keeping, store = found.entries
    assert (one.tags, one.models, one.backup) == (TagFilter(immutable=("v*",)), (), Backup("{tag}-old"))
    assert (keeping.models, keeping.backup) == ((), None)
    assert (store.backup, store.referrers, store.models) == (None, None, ("m*",))


@pytest.mark.parametrize("key", ["backup", "referrers"])
def test_a_default_that_is_meant_for_one_of_two_targets_is_not_dropped(key: str) -> None:
    value = {"backup": "{tag}-old", "referrers": "all"}[key]
    error = refused(
        f'[defaults]\n{key} = "{value}"\n[[sync]]\nsource = "registry:a.example/ml/"\n'
        'target = ["ollama:", "registry:b.example/"]'
    )
    assert error.message.startswith(f"plan.toml, line 3: {key}") and "Ollama store" in error.message


ERRORS = [
    # the whole plan
    ("", "plan.toml has no entries", "[[sync]]"),
    ("[sync]\n", "plan.toml, line 1: sync has to be written with two brackets", "[[sync]]"),
    ("sync = [1]", "plan.toml, line 1: sync has to be written with two brackets", "[[sync]]"),
    ("\n[[sinc]]\n", "plan.toml, line 2: sinc is no table of a plan", "did you mean sync?"),
    ("[default]\n", "plan.toml, line 1: default is no table of a plan", "did you mean defaults?"),
    ('source = "ollama:"\n', "plan.toml, line 1: source is no table", "source belongs below a line [[sync]]"),
    ("\njobs = 2\n", "plan.toml, line 2: jobs is no table", "jobs belongs below a line [defaults]"),
    ("zzz = 2\n", "plan.toml, line 1: zzz is no table", "a plan has [defaults], [[sync]] and [host]"),
    ("[[sync]\n", "plan.toml: Expected", "correct the line"),
    ("[[sync]]\nsource = a\n", "plan.toml: Invalid value (at line 2, column 10)", "correct the line"),
    # defaults
    ("defaults = 3\n[[sync]]", "plan.toml, line 1: defaults has to be a table", "below a line [defaults]"),
    ("[defaults]\njob = 3\n[[sync]]", "plan.toml, line 2: job is no key of [defaults]", "did you mean jobs?"),
    ("[defaults]\njobs = 0\n[[sync]]", "plan.toml, line 2: jobs: ", ""),
    (
        '[defaults]\nretry-for = "x"\nretry_for = "y"\n[[sync]]',
        "line 2: retry_for is set twice, as retry-for and as retry_for",
        "remove",
    ),
    ('[defaults]\non_exists = "kep"\n[[sync]]', "plan.toml, line 2: on_exists can't be 'kep'", "did you mean keep?"),
    ('[defaults]\npassword = "x"\n[[sync]]', "plan.toml, line 2: password", "registry-push login HOST"),
    ("[defaults.tags]\nlatest = 0\n[[sync]]", "plan.toml, line 2: tags.latest can't be 0", "from 1"),
    # hosts
    ("host = 3\n[[sync]]", "plan.toml, line 1: host is no table", '[host."HOST:PORT"]'),
    (
        f"[[sync]]\n{USUAL}\n[host.a.example]\nplain-http = true",
        "plan.toml, line 4: a is no table of a registry",
        "put the host in quotes",
    ),
    (
        f'[[sync]]\n{USUAL}\n[host."a.example"]\nplain-htp = true',
        "plan.toml, line 5: plain-htp is no key of a table of a host",
        "did you mean plain-http?",
    ),
    (
        f'[[sync]]\n{USUAL}\n[host."a.example"]\n\nplain-http = "maybe"',
        "plan.toml, line 6: plain_http: ",
        "",
    ),
    # entries
    ("[[sync]]\n", "plan.toml, line 1: the entry has no source", "registry:HOST/PATH"),
    ('[[sync]]\nsource = "ollama:"\n', "plan.toml, line 1: the entry has no target", "target"),
    ('[[sync]]\nsource = 3\ntarget = "ollama:"', "plan.toml, line 2: source has to be text", "put it in quotes"),
    ('[[sync]]\nsource = "registry:"\ntarget = "ollama:"', "plan.toml, line 2: source: ", ""),
    ('[[sync]]\nsource = "ollama:"\ntarget = []', "plan.toml, line 3: target is empty", "name at least one"),
    ('[[sync]]\nsource = "ollama:"\ntarget = ["oci:a", "oci:a"]', "line 3: target names a place twice", "remove"),
    ('[[sync]]\nsource = "ollama:"\ntarget = "oci-archive:a"', "line 3: target is an archive", "registry-push export"),
    ('[[sync]]\nsource = "ollama:"\ntarget = "registry:b/x:v1"', "line 3: target names one model", "slash"),
    (f'[[sync]]\n{USUAL}\ntag = ["x"]', "plan.toml, line 4: tag is no key of an entry", "did you mean tags"),
    (f"[[sync]]\n{USUAL}\njobs = 3", "plan.toml, line 4: jobs is no key", "for the whole run: write it below"),
    (f"[[sync]]\n{USUAL}\nplain-http = true", "line 4: plain-http is no key", 'below [host."HOST"]'),
    (f"[[sync]]\n{USUAL}\nlatest = 3", "plan.toml, line 4: latest is no key", "tags = { latest = … }"),
    (f'[[sync]]\n{USUAL}\nPassword = "x"', "plan.toml, line 4: Password is no key", "registry-push login HOST"),
    (f"[[sync]]\n{USUAL}\nmodels = 3", "plan.toml, line 4: models has to be a list of globs", "llama3*"),
    (f'[[sync]]\n{USUAL}\nmodels = ["!"]', "plan.toml, line 4: models has to be a list of globs", "llama3*"),
    (f"[[sync]]\n{USUAL}\non_exists = true", "plan.toml, line 4: on_exists can't be true", "update, keep, error"),
    (f'[[sync]]\n{USUAL}\nreferrers = "al"', "line 4: referrers can't be 'al'", "did you mean all?"),
    (f'[[sync]]\n{USUAL}\nbackup = "{{tag}}"', "plan.toml, line 4: backup can't be", "{tag}-before-{date}"),
    (f'[[sync]]\n{USUAL}\nbackup = "{{tag}} {{date}}"', "line 4: backup makes no tag", "letters"),
    (f'[[sync]]\n{USUAL}\nbackup = "{{tag}}-{{day}}"', "line 4: backup makes no tag", "{date} and {time}"),
    (f'[[sync]]\n{USUAL}\nbackup = "{{tag}}-x"\non_exists = "keep"', "line 4: backup is never made", "update"),
    (f'[[sync]]\n{USUAL}\nrename = "x"', "plan.toml, line 4: rename has to be a table of texts", "mirror"),
    (f'[[sync]]\n{USUAL}\nrename = {{ "(" = "x" }}', "line 4: rename has '(', which is not a regular", "backslashes"),
    # tags
    (f"[[sync]]\n{USUAL}\ntags = 3", "plan.toml, line 4: tags has to be a list of globs, or a table", "tags = {"),
    (f"[[sync]]\n{USUAL}\ntags = {{ lates = 3 }}", "line 4: tags.lates is no key of tags", "did you mean latest?"),
    (f'[[sync]]\n{USUAL}\ntags = {{ latest = "3" }}', "line 4: tags.latest has to be a whole number", "latest = 5"),
    (f"[[sync]]\n{USUAL}\ntags = {{ min = true }}", "line 4: tags.min has to be a whole number", "min = 5"),
    (f"[[sync]]\n{USUAL}\ntags = {{ semver = 1 }}", "line 4: tags.semver has to be text", "quotes"),
    (f'[[sync]]\n{USUAL}\ntags = {{ semver = ">>1" }}', "line 4: tags.semver ", ""),
    (f'[[sync]]\n{USUAL}\ntags = {{ sort = "size" }}', "line 4: tags.sort can't be", "semver or name"),
    (f"[[sync]]\n{USUAL}\ntags = {{ include = [3] }}", "line 4: tags.include has to be a list of globs", ""),
    (f'[[sync]]\n{USUAL}\n[sync.tags]\nlatest = 3\n\nsort = "size"', "line 7: tags.sort can't be", "semver or name"),
    (f"[[sync]]\n{USUAL}\n[sync.tags]\n\nlatset = 3", "plan.toml, line 6: tags.latset", "did you mean latest?"),
    # what does not go together
    (
        '[[sync]]\nsource = "registry:a/m:v1"\ntarget = "registry:b/"\ntags = ["v*"]',
        "plan.toml, line 4: tags says which tags to copy, and the source names one",
        "leave :TAG out",
    ),
    (
        '[[sync]]\nsource = "registry:a/m"\ntarget = "registry:b/"\nmodels = ["v*"]',
        "plan.toml, line 4: models says which repositories to copy, and the source names one",
        "registry:HOST/PREFIX/",
    ),
    (
        '[[sync]]\nsource = "registry:a/m"\ntarget = "ollama:"\nreferrers = "all"',
        "plan.toml, line 4: referrers have no place in an Ollama store",
        'referrers = "none"',
    ),
    (
        '[[sync]]\nsource = "registry:a/m"\ntarget = "ollama:"\nbackup = "{tag}-x"',
        "plan.toml, line 4: backup is not possible in an Ollama store",
        "leave backup out",
    ),
]


@pytest.mark.parametrize(("text", "said", "hint"), ERRORS, ids=[each[1][:60] for each in ERRORS])
def test_an_error_names_line_key_and_what_was_meant(text: str, said: str, hint: str) -> None:
    error = refused(text)
    assert said in error.message
    assert "plan.toml" in error.message
    assert hint in str(error.next_step or "")


def test_the_line_is_that_of_the_entry_meant() -> None:
    text = f'''
[defaults]
jobs = 2
# [[sync]]
[[sync]]
{USUAL}
backup = """{{tag}}-\\
[[sync]]
"""
'''
    assert refused(text).message.startswith("plan.toml, line 8: backup makes no tag")
    several = f"""
[[sync]]
source = '''
registry:a.example/
[[sync]]
tags = 3
'''
target = "registry:b.example/"
[[sync]]
{USUAL}
tags = {{ latest = 5, semver = "1.x", min = "2" }}
"""
    with pytest.raises(InvalidPlan) as caught:
        plan(several)
    assert caught.value.message.startswith("plan.toml, line 3: source: ")
    fine = several.replace("'''\nregistry:a.example/\n[[sync]]\ntags = 3\n'''", '"registry:a.example/"')
    assert refused(fine).message.startswith("plan.toml, line 8: tags.min has to be a whole number")


@pytest.mark.parametrize("key", ["tags", "models"])
def test_an_empty_list_is_not_taken_for_all(key: str) -> None:
    assert refused(f"[[sync]]\n{USUAL}\n{key} = []\n").message.endswith(f": {key} is empty")


def test_files_that_are_no_plans(tmp_path: Path) -> None:
    with pytest.raises(NotAtSource, match="there is no plan"):
        read_plan_text(tmp_path / "none.toml")
    with pytest.raises(InvalidPlan, match="can't be used"):
        read_plan_text(tmp_path)
    (tmp_path / "latin.toml").write_bytes("# für".encode("latin-1"))
    with pytest.raises(InvalidPlan, match="is not UTF-8"):
        read_plan_text(tmp_path / "latin.toml")
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbf" + f"[[sync]]\r\n{USUAL}\r\n".encode())
    assert len(read_plan(read_plan_text(tmp_path / "bom.toml")).entries) == 1


def test_text_from_a_plan_is_made_safe_in_messages() -> None:
    error = refused('[[sync]]\nsource = "\\u001b[31mred"\ntarget = "ollama:"')
    assert "\x1b" not in error.message
    error = refused('[[sync]]\nsource = "ollama:"\ntarget = "oci:x"\n"\\u001b[31m" = 3')
    assert "\x1b" not in f"{error.message}{error.next_step}"


def test_a_plan_of_many_entries_is_read_in_time_that_grows_with_it() -> None:
    def seconds(count: int) -> float:
        text = f"[[sync]]\n{USUAL}\ntags = {{ latest = 5, semver = '>=1' }}\n" * count
        began = time.process_time()
        assert len(plan(text).entries) == count
        return time.process_time() - began

    seconds(10)
    assert seconds(1600) < 40 * seconds(100) + 0.1, "it would be 256 times if each entry looked through the text"


def test_backups() -> None:
    backup = Backup("{tag}.bak")
    assert backup.tag("v1", "2026-01-02", "030405") == "v1.bak"
    assert backup.may_be("v1.bak") and backup.may_be("v1.bak-2") and not backup.may_be("v1")
    dated = Backup("before-{date}-{time}-{tag}")
    made = dated.tag("v1", "2026-01-02", "030405")
    assert made == "before-2026-01-02-030405-v1" and dated.may_be(made) and dated.may_be(f"{made}-3")
    assert not dated.may_be("before-v1")
