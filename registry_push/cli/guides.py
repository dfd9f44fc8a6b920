"""The guides inside the package: `registry_push/guides/*.md`, read without a network."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

from msgspec import Struct


class Guide(Struct, frozen=True):
    """One guide. `topic` is the file's name without its suffix."""

    topic: str
    text: str

    @property
    def title(self) -> str:
        """The first heading."""
        return self.text.partition("\n")[0].lstrip("# ")


def guides() -> dict[str, Guide]:
    """Return all guides by topic, sorted."""
    files = sorted(_folder().iterdir(), key=lambda file: file.name)
    found = (Guide(file.name.removesuffix(".md"), _text(file)) for file in files if file.name.endswith(".md"))
    return {guide.topic: guide for guide in found}


def events_schema() -> str:
    """Return the JSON schema of the output of `--json`."""
    return _text(resources.files(__package__) / "events.schema.json")


def _folder() -> Traversable:
    return resources.files(__package__.rpartition(".")[0]) / "guides"


def _text(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")
