"""The flags of the group `tag_filter`, turned into a `TagFilter`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from ..errors import InvalidFilter
from ..model.tag_filter import TagFilter
from .option import own, was_typed

# The parts of a filter, and what the parameters are called. `exclude` is a list of models where those are pushed.
_PARTS: Final = {
    "include": "include",
    "exclude": "excluded_tags",
    "semver": "semver",
    "latest": "latest",
    "sort": "sort",
}


def tag_filter_of(flags: Mapping[str, Any], *, only_typed: bool = False) -> TagFilter | None:
    """Return the filter that a command's flags ask for, None if they ask for none. Raises `InvalidFilter`.

    `only_typed`: one that is only in the environment or in the configuration does not count.
    """
    if only_typed and not any(map(was_typed, _PARTS.values())):
        return None
    try:
        tag_filter = TagFilter.parse(**{part: flags[name] for part, name in _PARTS.items()})
    except InvalidFilter as error:
        ctx = click.get_current_context()
        raise error.about(next(each.called(ctx) for each in own(ctx) if each.key == error.part)) from error
    return tag_filter if tag_filter != TagFilter() else None
