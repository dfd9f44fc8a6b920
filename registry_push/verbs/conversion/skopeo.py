"""skopeo-sync's YAML: registries, and below each its images with their tags (skopeo-sync(1))."""

from __future__ import annotations

from typing import Final

from ...errors import InvalidName, UsageError, quoted
from ...model.place import LAYOUT_PREFIXES, after_prefix, names_host
from ...model.reference import Reference
from ...text.user_part import without_login
from .converted import Converted, Notes, Unconvertible, unusable
from .globs import Filter, tag_filters
from .images import Image, is_digest, parse_image
from .plan_writer import Entry, Plan, Value
from .reading import Reader, parse_root, texts_of
from .versions import masterminds_range
from .yaml_tree import Pair, Table, is_null

_WHAT: Final = "plan of skopeo sync"
_OF_IMAGES: Final = ("images", "images-by-tag-regex", "images-by-semver")
_KNOWN: Final = frozenset({*_OF_IMAGES, "credentials", "tls-verify", "cert-dir"})
# RFC 2606: never a registry; a plan whose target was forgotten copies nothing anywhere.
_PLACEHOLDER: Final = "registry:target.invalid/"
_OTHER_PRE_RELEASES: Final = "here a pre-release is in a range only if a bound names one of the same version"


def converted_skopeo(text: str, name: str, target: str | None = None) -> Converted:
    """Return the plan of skopeo sync in `text`, which the file `name` holds, as a plan of `sync`.

    `target` is what stands on skopeo's command line: a registry, with a path or without, or `oci:DIR`.
    Raises `UsageError` for what is no such plan, or no such target.
    """
    root = parse_root(text, name, _WHAT)
    tables = {key: pair.node for key, pair in root.items() if isinstance(pair.node, Table)}
    if not any(set(table.pairs) & _KNOWN for table in tables.values()):
        hint = "below each registry it has images:"
        if {"sync", "creds"} & set(root.pairs):
            hint = "it may be one of regsync: convert it with --from-regsync"
        raise unusable(name, root.line, f"this is no {_WHAT}", hint)
    conversion = _Conversion(_Targets(target))
    if target is None:
        said = f"skopeo's command line names the target: replace {_PLACEHOLDER}, or convert again with --to HOST/PATH/"
        conversion.notes.add(root.line, "target", said)
    for registry, pair in root.items():
        conversion.take(registry, pair)
    plan = Plan(name, {"referrers": "none"}, tuple(conversion.entries), conversion.hosts)
    return Converted(plan.text(), conversion.notes.found)


class _Targets:
    """Where the repositories go: by the last part of their names below the target, as without skopeo's `--scoped`."""

    def __init__(self, target: str | None) -> None:
        self._target = target
        self._sources: dict[str, str] = {}
        self.of(Image("docker.io", "any/any"))  # raises for what is no target
        self._sources.clear()

    def of(self, image: Image) -> tuple[str, str | None]:
        """Return the target of `image`, and the other source that goes there, if any. Raises `UsageError`."""
        target = self._spelt(image.repository.rpartition("/")[2])
        return target, self._other(target, image.place())

    def _other(self, target: str, source: str) -> str | None:
        first = self._sources.setdefault(target, source)
        return first if first != source and not target.startswith(("ollama:", *LAYOUT_PREFIXES)) else None

    def _spelt(self, name: str) -> str:
        if self._target is None:
            return f"{_PLACEHOLDER}{name}"
        if self._target.startswith(("ollama:", *LAYOUT_PREFIXES)):
            return self._target
        named = after_prefix(self._target)
        base = (self._target if named is None else named).rstrip("/")
        if named is None and not names_host(f"{base}/"):
            raise UsageError(f"--to {quoted(self._target)} names no registry", hint="write --to HOST/PATH/ or oci:DIR")
        try:
            return f"registry:{Reference.parse(f'{base}/{name}')}"
        except InvalidName as error:
            raise UsageError(f"--to {quoted(self._target)}: {error.message}", hint=error.next_step) from error


class _Conversion:
    """One that is under way."""

    def __init__(self, targets: _Targets) -> None:
        self.notes = Notes()
        self.entries: list[Entry] = []
        self.hosts: dict[str, dict[str, Value]] = {}
        self._read = Reader(self.notes)
        self._targets = targets

    def take(self, registry: str, pair: Pair) -> None:
        """Convert what stands below one registry."""
        shown = without_login(registry)
        table = self._read.table(pair, shown)
        if table is None:
            return
        self._read.note_unknown(table, _KNOWN, f"{shown}.", "skopeo sync")
        self._connection(registry, table)
        count = len(self.entries)
        for kind in _OF_IMAGES:
            key = f"{shown}.{kind}"
            images = self._read.table(table.get(kind), key)
            for name, found in images.items() if images is not None else ():
                self._image(registry, kind, name, found)
        if len(self.entries) == count:
            self.notes.add(pair.line, shown, "it names no images")

    def _connection(self, registry: str, table: Table) -> None:
        try:
            host = parse_image(f"{registry}/any").host
        except Unconvertible:
            return  # its images say so
        if (login := table.get("credentials")) is not None:
            said = f"logins are not taken over: log in with registry-push login {host}"
            self.notes.add(login.line, f"{registry}.credentials", said)
        values = self.hosts.setdefault(host, {})
        verify = table.get("tls-verify")
        if verify is not None and self._read.switch(verify, f"{registry}.tls-verify") is False:
            if Reference(host, "any/any").origin(plain_http=False).is_loopback:  # with tls-verify it would be https
                said = "on this machine http is spoken anyway; if the registry speaks https, write tls-verify = false"
            else:
                values["tls-verify"] = False
                said = "skopeo tries http too then; a registry that speaks http needs plain-http = true"
            self.notes.add(verify.line, f"{registry}.tls-verify", said)
        if (folder := table.get("cert-dir")) is not None:
            said = (
                f'name its files in [host."{host}"]: ca-file for its .crt file, cert and key-file for .cert and .key;'
                f" or put them into ~/.config/containers/certs.d/{host}"
            )
            self.notes.add(folder.line, f"{registry}.cert-dir", said)

    def _image(self, registry: str, kind: str, name: str, pair: Pair) -> None:
        key = f"{without_login(registry)}.{kind}.{without_login(name)}"
        try:
            image = _repository(f"{registry}/{name}")
        except Unconvertible as error:
            self.notes.add(pair.line, key, f"{error}; skopeo skips it too")
            return
        try:
            filters = self._filters(kind, pair, key, image)
        except Unconvertible as error:
            self.notes.add(pair.line, key, f"not converted, but left as a comment: {error}")
            self._add(image, pair, key, [Filter()], f"line {pair.line}, not converted: {error}")
        else:
            self._add(image, pair, key, filters)

    def _add(self, image: Image, pair: Pair, key: str, filters: list[Filter], left_out: str | None = None) -> None:
        if not filters:
            return
        target, other = self._targets.of(image)
        if other is not None:
            self.notes.add(pair.line, key, f"{other} goes to {target} too, as with skopeo without --scoped")
        comments = (f"line {pair.line}, in {len(filters)} entries that add up",) if len(filters) > 1 else ()
        for at, tags in enumerate(filters):
            entry = Entry(image.place(), target, tags=tags, comments=() if at else comments, left_out=left_out)
            self.entries.append(entry)

    def _filters(self, kind: str, pair: Pair, key: str, image: Image) -> list[Filter]:
        """Return the filters that add up to the tags of one image; none if it has no tags that can be copied."""
        if kind == "images":
            return self._named(pair, key, image)
        text = self._read.text(pair, key)
        if text is None:
            raise Unconvertible("it is no text")
        try:
            if kind == "images-by-tag-regex":
                return tag_filters([text], [])
            found = masterminds_range(text)
        except Unconvertible as error:
            raise Unconvertible(f"{text}: {error}") from error
        if found.names_pre_release:
            self.notes.add(pair.line, key, _OTHER_PRE_RELEASES)
        return [Filter(semver=found.text)]

    def _named(self, pair: Pair, key: str, image: Image) -> list[Filter]:
        texts = [] if is_null(pair.node) else texts_of(pair)
        if not texts:
            return [Filter()]
        tags = []
        for text, line in texts:
            if is_digest(text):
                target, _ = self._targets.of(image)
                said = f"a digest needs a tag at the target: registry-push copy {image.place()}@{text} {target}:TAG"
                self.notes.add(line, key, said)
                continue
            try:
                Reference("registry.invalid", "any", text)
            except InvalidName as error:
                self.notes.add(line, key, f"{error.message}; skopeo skips it too")
                continue
            tags.append(text)
        return [Filter(tuple(dict.fromkeys(tags)))] if tags else []


def _repository(text: str) -> Image:
    image = parse_image(text)
    if image.tag or image.digest:
        raise Unconvertible("a repository is named without tag and digest")
    return image
