"""What is wrong with a copy as it was written, found before anything is asked: a password, or a registry."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError
from ..model import ModelName, Reference
from ..model.mapping import CopyTarget, parse_copy_target
from ..model.name import DEFAULT_TAG
from ..model.place import Below, Exactly, OllamaPlace, Place, RegistryPlace, parse_readable
from ..text.hint import Login, step
from .copy_options import CopyOptions


def check_copy(
    source: str, target: str, *, tags: Sequence[str], referrers: str | None, required: str | None, username: str | None
) -> None:
    """Raise `UsageError` for what can't be copied as it is written."""
    to = parse_copy_target(target)
    CopyOptions.of(tags, referrers, required, to)
    check_login(username, [parse_readable(source)], to)


def check_pull(names: Sequence[str], name: str | None, *, username: str | None) -> None:
    """Raise `UsageError` for what can't be pulled as it is written."""
    check_login(username, pulled_from(names), pulled_to(names, name))


def pulled_to(names: Sequence[str], name: str | None) -> OllamaPlace:
    """Return where `names` are pulled to, under the local `name` if there is one. Raises `UsageError`."""
    if name is not None and len(names) != 1:
        raise UsageError("--as names one model, and several are pulled", hint="pull them one by one")
    return OllamaPlace(ModelName.parse(name) if name is not None else None)


def pulled_from(names: Sequence[str]) -> list[RegistryPlace]:
    """Return what `names` name at registries. Raises `UsageError`."""
    return [RegistryPlace(_reference(text)) for text in names]


def _reference(text: str) -> Reference:
    place = parse_readable(text)
    match place:
        case RegistryPlace(reference):
            found = reference
        case OllamaPlace(ModelName() as model) if not text.startswith("ollama:"):
            found = Reference.to_read(model)
        case _:
            raise UsageError(
                "pull reads from a registry", hint="copy reads from everything: registry-push copy SRC DST"
            )
    return found if found.tag is not None or found.digest is not None else found.at(tag=DEFAULT_TAG)


def check_login(username: str | None, places: Sequence[Place], to: CopyTarget) -> None:
    """Raise `UsageError` if the login of `username` would be shown to two registries."""
    hosts = {place.reference.host for place in places if isinstance(place, RegistryPlace)}
    if isinstance(to, Below | Exactly):
        hosts.add(to.host if isinstance(to, Below) else to.reference.host)
    if username is not None and len(hosts) > 1:
        raise UsageError(
            f"--username is one registry's login, and {' and '.join(sorted(hosts))} are asked",
            hint=step("log in to each of them: ", Login()),
        )
