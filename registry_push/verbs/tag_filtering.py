"""Copies of some tags of a repository or a store: those that a filter takes, and what is about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..errors import ModelNotFound, UsageError
from ..events import ModelDone, ModelFailed, Sink, Warned
from ..model import ModelName, Reference
from ..model.mapping import AnyName, Mapped
from ..model.referrers import is_attached
from ..model.tag_filter import TagFilter
from ..text.several import several
from ..transfer.job import AnyReference
from .copy_options import CopyOptions
from .copy_plan import CopyPlan
from .referrers import attached_ref
from .sources import CopySource

Found = tuple[AnyName, CopySource]
# A model of a source: its name there without the tag.
_Model = tuple[CopySource, str]


class Filtered:
    """What is left of the names `found` at the sources: the `wanted` ones.

    Tags of signatures and the like are not filtered: `follow` plans those that are about what is copied. Raises
    `ModelNotFound` if too few are left, `UsageError` for a manifest without a tag.
    """

    def __init__(self, found: Sequence[Found], tag_filter: TagFilter) -> None:
        models: dict[_Model, dict[str, AnyName]] = {}
        for name, source in found:
            called, tag = _split(name)
            models.setdefault((source, called), {})[tag] = name
        self.wanted: list[Found] = []
        left_out: list[tuple[str, str]] = []
        self._models: dict[AnyName, _Model] = {}
        self._attached: dict[tuple[_Model, str], list[AnyName]] = {}  # by their subject's model and tag-like digest
        for model, names in models.items():
            selected = tag_filter.select(tag for tag in names if not is_attached(tag))
            left_out += selected.left_out
            self.wanted += ((names[tag], model[0]) for tag in selected.kept)
            self._models |= {names[tag]: model for tag in selected.kept}
            for tag in filter(is_attached, names):
                self._attached.setdefault((model, tag.partition(".")[0]), []).append(names[tag])
        where = several([*dict.fromkeys(called.removesuffix(":") for _, called in models)])
        refuse_too_few(len(self.wanted), left_out, tag_filter, where)

    async def follow(
        self, plan: CopyPlan, going: Sequence[tuple[Mapped, CopySource]], options: CopyOptions, sink: Sink
    ) -> None:
        """Plan the tags of what is about the manifests of `plan`, which is `going` there; and what is about that.

        Only warn if the target has no place for them.
        """
        models: dict[AnyReference, _Model] = {each.references[0]: self._models[each.name] for each, _ in going}
        count = 0
        while found := self._about(plan, models):
            count += len(found)
            if not options.wants_any:
                break
            await plan.of([(each, models[each.references[0]][0]) for each in found])
        if options.only_counts and not options.wants_any:
            warn_of_attached(count, sink)

    def _about(self, plan: CopyPlan, models: dict[AnyReference, _Model]) -> list[Mapped]:
        """Take the tags that are about what is planned, with the places beside it; add their models to `models`."""
        planned = [(job.target, manifest.digest) for job in plan.jobs for manifest in job.manifests]
        planned += [(each.target, each.digest) for each in plan.settled if isinstance(each, ModelDone)]
        found = []
        for main, digest in planned:
            for name in self._attached.pop((models[main], digest.path_name), ()):
                target = main.at(tag=attached_ref(main, name.tag or ""))
                models[target] = models[main]
                found.append(Mapped(name, (target,)))
        return found


def refuse_too_few(count: int, left_out: Sequence[tuple[str, str]], tag_filter: TagFilter, where: str) -> None:
    """Raise `ModelNotFound` if the filter has left fewer of the tags of `where` than there have to be."""
    least = max(1, tag_filter.min)
    if count >= least:
        return
    reasons = Counter(reason for _, reason in left_out).most_common()
    why = several([f"{number} × {reason}" for reason, number in reasons])
    total = count + len(left_out)
    tags = "1 tag" if total == 1 else f"{total} tags"
    if not total:
        words = f"{where} has no tags but those of signatures and the like"
    elif count:
        words = f"of the {tags} of {where}, {count} {'is' if count == 1 else 'are'} left, and {least} are the least"
    else:
        words = f"of the {tags} of {where}, none is left"
    raise ModelNotFound(f"{words}: {why}" if why else words, hint="choose other filters of tags, or none")


def wants_failed(tag_filter: TagFilter, failed: ModelFailed) -> bool:
    """Return whether what a source lists, and is no name, would be copied if it were one."""
    return tag_filter.wants(failed.model.rpartition(":")[2])


def warn_of_attached(count: int, sink: Sink) -> None:
    """Warn that so many tags of what is about others stay behind."""
    what = "1 tag of a signature or the like is" if count == 1 else f"{count} tags of signatures and the like are"
    if count:
        sink(Warned(f"{what} left behind: an Ollama store has no place for them"))


def _split(name: AnyName) -> tuple[str, str]:
    """Return the model and its tag."""
    match name:
        case ModelName():
            return name.short.removesuffix(f":{name.tag}"), name.tag
        case Reference():
            return str(name.at()), name.tag or ""
        case _ if name.tag is None:
            raise UsageError(f"{name} has one manifest, without a tag", hint="leave the filters of tags out")
        case _:  # in a layout it is a whole name, or only a tag
            tag = name.tag.rpartition("/")[2].rpartition(":")[2]
            return str(name).removesuffix(tag), tag
