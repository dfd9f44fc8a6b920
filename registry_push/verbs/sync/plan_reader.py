"""Reads a plan: each error names the file, the line and the key, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar, get_args

from msgspec.structs import replace as with_fields

from ...errors import InvalidFilter, InvalidPlan, InvalidSettings, RegistryPushError, printable, quoted
from ...model.mapping import CopyTarget, parse_copy_target
from ...model.place import (
    ArchivePlace,
    Exactly,
    LayoutPlace,
    OllamaPlace,
    RegistryPlace,
    SourcePlace,
    parse_source,
)
from ...model.renaming import Renaming, Rule
from ...model.tag_filter import TagFilter
from ...settings import HOST_FIELDS, Settings
from ...text.hint import Hint
from ...text.registry_hosts import compared, is_host
from ...text.suggestions import did_you_mean
from ...text.user_part import without_login
from ..copy_request import names_several
from .plan import Backup, Entry, OnExists, SyncPlan
from .plan_checks import OF_RUN, is_template, refusal
from .plan_text import ENTRIES, PlanText

_OWN: Final = ("source", "target")
_SHARED: Final = ("models", "tags", "rename", "on_exists", "backup", "referrers")
_OF_TAGS: Final = ("include", "exclude", "semver", "latest", "sort", "immutable", "min")
_TABLES: Final = ("defaults", ENTRIES, "host")
# Logins have no place in a plan: it is kept in repositories and sent around.
_SECRETS: Final = frozenset({"username", "password", "password_stdin", "token", "creds", "credentials", "login"})
_NO_BACKUP: Final = "is not possible in an Ollama store", "leave backup out; or copy into a registry or a layout"
_NO_REFERRERS: Final = "have no place in an Ollama store", 'write referrers = "none"'
# The plainest plan that works, for hints.
_EXAMPLE: Final = 'write [[sync]], and below it source = "registry:HOST/PATH" and target = "registry:HOST/"'

Value = TypeVar("Value")


def read_plan(text: PlanText) -> SyncPlan:
    """Return the plan that `text` spells. Raises `InvalidPlan`."""
    reader = _Reader(text)
    values = {key.replace("-", "_"): value for key, value in text.values.items()}
    for key in values:
        if key not in _TABLES:
            hint = did_you_mean(key, _TABLES)
            if key in (*_OWN, *_SHARED):
                hint = f"{key} belongs below a line [[sync]]"
            elif key in OF_RUN:
                hint = f"{key} belongs below a line [defaults]"
            raise reader.error("is no table of a plan", key, hint=hint or "a plan has [defaults], [[sync]] and [host]")
    defaults = reader.table(values.get("defaults", {}), ("defaults",), (*_SHARED, *OF_RUN))
    settings: dict[str, Any] = {key: defaults.pop(key) for key in OF_RUN if key in defaults}
    entries = values.get(ENTRIES, [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise reader.error("has to be written with two brackets", ENTRIES, hint=_EXAMPLE)
    if not entries:
        raise InvalidPlan(f"{text.path} has no entries", hint=_EXAMPLE)
    hosts = reader.hosts(values.get("host", {}))
    reader.check_settings(settings, hosts)
    usual = reader.shared(defaults, ("defaults",))
    return SyncPlan(
        text.path, tuple(reader.entry(index, each, usual) for index, each in enumerate(entries)), settings, hosts
    )


class _Reader:
    def __init__(self, text: PlanText) -> None:
        self._text = text

    def error(self, message: str, *keys: str | int, hint: str | Hint | None = None) -> InvalidPlan:
        """Return the error about `keys`, the innermost last."""
        named = keys[-1:]
        if len(keys) > 1 and keys[0] in (ENTRIES, "defaults"):
            named = keys[2:] if keys[0] == ENTRIES else keys[1:]
        key = ".".join(map(str, named))
        said = (
            f"{self._text.where(*keys)}: {printable(key)} {message}" if key else f"{self._text.where(*keys)}: {message}"
        )
        return InvalidPlan(said, hint=hint)

    def wrong(self, error: RegistryPushError, *keys: str | int) -> InvalidPlan:
        """Return `error`, which a part of the product has raised for the value of `keys`, as one about the plan."""
        refused = self.error("", *keys)
        refused = InvalidPlan(f"{refused.message.rstrip()}: {error.message}")
        refused.hint = error.next_step
        return refused

    def table(self, values: Any, keys: tuple[str | int, ...], known: Sequence[str]) -> dict[str, Any]:
        """Return the table `values` with `_` for each `-` in its keys, which have to be `known`."""
        if not isinstance(values, dict):
            raise self.error("has to be a table", *keys, hint=f"for example: {known[0]} = …, below a line [{keys[-1]}]")
        found: dict[str, Any] = {}
        for written, value in values.items():
            key = written.replace("-", "_")
            if key in found:
                both = f"is set twice, as {key.replace('_', '-')} and as {key}"
                raise self.error(both, *keys, written, hint="remove one of them")
            if key not in known:
                raise self._unknown(key, written, keys, known)
            found[key] = value
        return found

    def _unknown(self, key: str, written: str, keys: tuple[str | int, ...], known: Sequence[str]) -> InvalidPlan:
        spelt = [each.replace("_", "-") if "-" in written else each for each in known]
        hint = did_you_mean(written, spelt) or f"known here: {', '.join(spelt)}"
        if key.lower() in _SECRETS:
            hint = "logins have no place in a plan: log in with registry-push login HOST"
        elif key in OF_RUN:
            hint = f"{key} is for the whole run: write it below [defaults]"
        elif key in HOST_FIELDS:
            hint = f'{key} is for one registry: write it below [host."HOST"]'
        elif key in _OF_TAGS and keys[0] != "host":
            hint = f"{key} is one of the keys of tags: tags = {{ {key} = … }}"
        what = {ENTRIES: "an entry", "host": "a table of a host"}.get(str(keys[0]), f"[{keys[0]}]")
        what = "tags" if keys[-1] == "tags" else what
        return self.error(f"is no key of {what}", *keys, written, hint=hint)

    def entry(self, index: int, values: Any, usual: Mapping[str, Any]) -> Entry:
        """Return the entry `values`; `usual` is what holds if it does not say."""
        keys = (ENTRIES, index)
        given = self.table(values, keys, (*_OWN, *_SHARED))
        for key in _OWN:
            if key not in given:
                raise self.error(f"the entry has no {key}", *keys, hint=_EXAMPLE)
        source_text = self._text_of(given["source"], *keys, "source")
        source = self._parsed(parse_source, source_text, *keys, "source")
        written = given["target"] if isinstance(given["target"], list) else [given["target"]]
        if not written:
            raise self.error("is empty", *keys, "target", hint="name at least one place")
        texts = [self._text_of(each, *keys, "target") for each in written]
        targets = tuple(self._target(source, each, keys) for each in texts)
        if len(set(targets)) < len(targets):
            raise self.error("names a place twice", *keys, "target", hint="remove one of them")
        own = self.shared({key: value for key, value in given.items() if key not in _OWN}, keys)
        options = {**usual, **own}
        entry = Entry(index + 1, self._text.where(*keys), source, source_text, targets, **options)
        for target in targets:
            if (refused := refusal(entry, target)) is not None:
                raise self.error(refused[0], *keys, "target", hint=refused[1])
        return self._fitting(entry, own, keys)

    def _target(self, source: SourcePlace, text: str, keys: tuple[str | int, ...]) -> CopyTarget:
        target = self._parsed(parse_copy_target, text, *keys, "target")
        if isinstance(target, ArchivePlace):
            hint = "write oci:DIR for a layout; archives are written by registry-push export"
            raise self.error("is an archive, which can't be changed once it is written", *keys, "target", hint=hint)
        several = names_several(source)
        one = (
            (isinstance(target, Exactly) and target.reference.tag is not None)
            or (isinstance(target, OllamaPlace) and target.name is not None)
            or (isinstance(target, LayoutPlace) and target.ref is not None)
        )
        if several and one:
            hint = "to keep the names, end the target with a slash, registry:HOST/PATH/, or name a store"
            raise self.error(f"names one model, {quoted(text)}, and the source has several", *keys, "target", hint=hint)
        return target

    def _fitting(self, entry: Entry, own: Collection[str], keys: tuple[str | int, ...]) -> Entry:
        """Return `entry` without the defaults that say nothing about its source or targets.

        Raise for such keys of its `own`.
        """
        for key, value, complaint, hint in _idle(entry):
            if key in own:
                raise self.error(complaint, *keys, key, hint=hint)
            entry = with_fields(entry, **{key: value})
        if any(isinstance(target, OllamaPlace) for target in entry.targets):  # beside others, for which it is meant
            if entry.backup is not None:
                raise self.error(_NO_BACKUP[0], *keys, "backup", hint=_NO_BACKUP[1])
            if entry.referrers not in (None, "none"):
                raise self.error(_NO_REFERRERS[0], *keys, "referrers", hint=_NO_REFERRERS[1])
        return entry

    def shared(self, given: Mapping[str, Any], keys: tuple[str | int, ...]) -> dict[str, Any]:
        """Return what an entry and the defaults have in common, as fields of `Entry`."""
        found: dict[str, Any] = {}
        if "models" in given:
            if given["models"] == []:
                raise self.error("is empty", *keys, "models", hint="leave it out to take all of them")
            found["models"] = self._globs(given["models"], *keys, "models")
        if "tags" in given:
            found["tags"] = self._tags(given["tags"], keys)
        if "rename" in given:
            found["renaming"] = self._renaming(given["rename"], *keys, "rename")
        if "on_exists" in given:
            found["on_exists"] = self._choice(given["on_exists"], get_args(OnExists), *keys, "on_exists")
        if "backup" in given:
            found["backup"] = self._backup(given["backup"], *keys, "backup")
        if "referrers" in given:
            found["referrers"] = kind = self._text_of(given["referrers"], *keys, "referrers")
            if kind not in ("all", "none") and "/" not in kind:
                raise self.error(
                    f"can't be {quoted(kind)}",
                    *keys,
                    "referrers",
                    hint=did_you_mean(kind, ("all", "none")) or "write all, none, or an artifact type",
                )
        return found

    def _tags(self, value: Any, keys: tuple[str | int, ...]) -> TagFilter:
        if not isinstance(value, list | str | dict):
            hint = 'for example: tags = ["latest", "v*"], or tags = { latest = 5 }'
            raise self.error("has to be a list of globs, or a table", *keys, "tags", hint=hint)
        if value == []:
            raise self.error("is empty", *keys, "tags", hint="leave it out to take all tags")
        is_table = isinstance(value, dict)
        given = self.table(value, (*keys, "tags"), _OF_TAGS) if is_table else {"include": value}
        options: dict[str, Any] = {}
        for key in ("include", "exclude", "immutable"):
            if key in given:
                options[key] = self._globs(given[key], *keys, "tags", key)
        for key in ("semver", "sort"):
            if key in given:
                options[key] = self._text_of(given[key], *keys, "tags", key)
        for key in ("latest", "min"):
            if key in given:
                if type(given[key]) is not int:
                    raise self.error("has to be a whole number", *keys, "tags", key, hint=f"for example: {key} = 5")
                options[key] = given[key]
        try:
            return TagFilter.parse(**options)
        except InvalidFilter as error:
            part = (error.part,) if is_table else ()
            raise self.error(error.complaint, *keys, "tags", *part, hint=error.next_step) from error

    def _renaming(self, value: Any, *keys: str | int) -> Renaming:
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            hint = r"""write rename = { "library/(.*)" = "mirror/\\1" }"""
            raise self.error("has to be a table of texts", *keys, hint=hint)
        rules = []
        for pattern, replacement in value.items():
            try:
                rules.append(Rule(re.compile(pattern), replacement))
            except (re.error, RecursionError, OverflowError) as error:
                hint = r"escape what is meant as it stands with two backslashes: \\( \\. \\+"
                said = f"has {quoted(pattern)}, which is not a regular expression: {error}"
                raise self.error(said, *keys, hint=hint) from error
        return Renaming(tuple(rules))

    def _backup(self, value: Any, *keys: str | int) -> Backup:
        template = Backup(self._text_of(value, *keys))
        if "{tag}" not in template.template or template.template == "{tag}":
            hint = 'for example: backup = "{tag}-before-{date}"'
            raise self.error(
                f"can't be {quoted(template.template)}: it has to have {{tag}} in it, and more", *keys, hint=hint
            )
        if not is_template(template.template):
            hint = "a tag has letters, digits, dots, dashes and underscores; use {tag}, {date} and {time}"
            raise self.error(f"makes no tag: {quoted(template.template)}", *keys, hint=hint)
        return template

    def hosts(self, values: Any) -> dict[str, dict[str, Any]]:
        """Return the tables `[host."HOST"]`."""
        if not isinstance(values, dict):
            raise self.error("is no table", "host", hint='name the registry: [host."HOST:PORT"]')
        found: dict[str, dict[str, Any]] = {}
        seen: dict[str, str] = {}
        for host, table in values.items():
            self._check_host(host, seen)
            if not isinstance(table, dict) or any(isinstance(each, dict) for each in table.values()):
                hint = f'put the host in quotes, since a dot divides tables: [host."{printable(host)}…"]'
                raise self.error("is no table of a registry", "host", host, hint=hint)
            known = (*HOST_FIELDS, "allow_realm")
            given = self.table(table, ("host", host), known)
            found[host] = {"allow_realms" if key == "allow_realm" else key: value for key, value in given.items()}
        return found

    def _check_host(self, host: str, seen: dict[str, str]) -> None:
        if not is_host(host):
            where, shown = self._text.where("host", host), printable(without_login(host))
            raise InvalidPlan(
                f'{where}: [host."{shown}"] names no host', hint='write [host."HOST"] or [host."HOST:PORT"]'
            )
        if (other := seen.setdefault(compared(host), host)) != host:
            raise self.error(f'is the same host as [host."{other}"]', "host", host, hint="write one table for both")

    def check_settings(self, settings: Mapping[str, Any], hosts: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise for values that `Settings` does not take."""
        for key, value in settings.items():
            self._settable(("defaults", key), {key: value})
        for host, table in hosts.items():
            for key, value in table.items():
                if key in ("cert", "key_file"):  # each is half of one
                    continue
                self._settable(("host", host, key), {"hosts": {host: {key: value}}})
            self._settable(("host", host), {"hosts": {host: table}})

    def _settable(self, keys: tuple[str | int, ...], fields: Mapping[str, Any]) -> None:
        try:
            replace(Settings(home=None), **fields)
        except InvalidSettings as error:
            raise self.wrong(error, *keys) from error

    def _parsed(self, parse: Callable[[str], Value], text: str, *keys: str | int) -> Value:
        try:
            return parse(text)
        except RegistryPushError as error:
            raise self.wrong(error, *keys) from error

    def _choice(self, value: Any, choices: Sequence[str], *keys: str | int) -> Any:
        if value not in choices:
            shown = quoted(value) if isinstance(value, str) else printable(str(value), limit=60).lower()
            hint = did_you_mean(str(value), choices) or f"write one of {', '.join(choices)}"
            raise self.error(f"can't be {shown}", *keys, hint=hint)
        return value

    def _globs(self, value: Any, *keys: str | int) -> tuple[str, ...]:
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(each, str) and each.strip("! ") for each in values):
            raise self.error(
                "has to be a list of globs", *keys, hint=f'for example: {keys[-1]} = ["llama3*", "!*-fp16"]'
            )
        return tuple(values)

    def _text_of(self, value: Any, *keys: str | int) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.error("has to be text", *keys, hint=f'put it in quotes: {keys[-1]} = "…"')
        return value


def _idle(entry: Entry) -> Iterator[tuple[str, Any, str, str]]:
    """Yield the keys of `entry` that say nothing about its source or targets, as fields.

    With each: what holds instead, what is wrong, and what to do.
    """
    immutable = TagFilter(immutable=entry.tags.immutable)
    if not names_several(entry.source) and entry.tags != immutable:
        hint = "leave :TAG out of the source, or tags out of the entry"
        yield "tags", immutable, "says which tags to copy, and the source names one", hint
    if isinstance(entry.source, RegistryPlace) and entry.models:
        hint = 'leave models out; or, to copy several repositories, write source = "registry:HOST/PREFIX/"'
        yield "models", (), "says which repositories to copy, and the source names one", hint
    if all(isinstance(target, OllamaPlace) for target in entry.targets):
        if entry.backup is not None:
            yield "backup", None, *_NO_BACKUP
        if entry.referrers not in (None, "none"):
            yield "referrers", None, *_NO_REFERRERS
    if entry.backup is not None and entry.on_exists != "update":
        hint = 'leave backup out, or write on_exists = "update"'
        yield "backup", None, f'is never made with on_exists = "{entry.on_exists}"', hint
