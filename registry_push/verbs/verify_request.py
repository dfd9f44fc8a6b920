"""What is wrong with a verification as it was written, found before anything is asked: a password, or a registry."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..errors import UsageError
from ..model.place import OllamaPlace, Place, RegistryPlace, parse_readable, spelt
from ..text.hint import Command, Login, step


def check_verify(places: Sequence[str], repair: str | None, *, username: str | None) -> None:
    """Raise `UsageError` for what can't be verified or repaired as it is written."""
    parsed = [parse_readable(each) for each in places]
    source = parse_readable(repair) if repair is not None else None
    if source is not None:
        check_repair(parsed, source)
    read = [*parsed, *([source] if source is not None else [])]
    hosts = {place.reference.host for place in read if isinstance(place, RegistryPlace)}
    if username is not None and len(hosts) > 1:
        raise UsageError(
            f"--username is one registry's login, and {' and '.join(sorted(hosts))} are asked",
            hint=step("log in to each of them: ", Login()),
        )


def check_repair(places: Collection[Place], repair: Place) -> None:
    """Raise `UsageError` if one of `places` can't be repaired from `repair`, whatever is there."""
    for place in places:
        if isinstance(place, RegistryPlace):
            again = Command(f"copy {spelt(repair, str)} registry:{place.reference} --recheck")
            raise UsageError(
                f"what is at a registry is not repaired in its place: registry:{place.reference}",
                hint=step("to send what it lacks: ", again),
            )
        if place == repair or (isinstance(place, OllamaPlace) and isinstance(repair, OllamaPlace)):
            raise UsageError(
                f"{spelt(place, str)} can't be repaired from itself",
                hint="name another place that has the same content",
            )
