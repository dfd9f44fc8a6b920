"""The guides inside the package: `registry_push/guides/*.md`, read without a network."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

from msgspec import Struct


class Guide(Struct, frozen=True):
    """One guide. `topic` is its file's name without the ending."""

    topic: str
    text: str

    @property
    def title(self) -> str:
        """Its first heading."""
        return self.text.partition("\n")[0].lstrip("# ")


def guides() -> dict[str, Guide]:
    """All of them by topic, sorted."""
    files = sorted(_folder().iterdir(), key=lambda file: file.name)
    found = (Guide(file.name.removesuffix(".md"), _text(file)) for file in files if file.name.endswith(".md"))
    return {guide.topic: guide for guide in found}


def events_schema() -> str:
    """The JSON schema of what `--json` prints."""
    return _text(resources.files(__package__) / "events.schema.json")


def _folder() -> Traversable:
    return resources.files(__package__.rpartition(".")[0]) / "guides"


def _text(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")
