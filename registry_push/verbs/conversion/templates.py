"""Go templates, as far as regsync's plans use them: fields, strings, a few functions, and the day in a backup's tag.

Marks stand for what is only known when a tag is moved: the tag itself, and year, month and day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from ...text.patterns import LazyPattern
from .converted import Unconvertible

# Characters that no name has; they stand for what our templates call {tag}, and for the parts of {date}.
TAG_MARK: Final = "\ue000"
_YEAR: Final = "\ue001"
_MONTH: Final = "\ue002"
_DAY: Final = "\ue003"
_MARKS: Final = (TAG_MARK, _YEAR, _MONTH, _DAY)
_DATE: Final = LazyPattern(rf"{_YEAR}[._-]?{_MONTH}[._-]?{_DAY}|{_DAY}[._-]?{_MONTH}[._-]?{_YEAR}")

_ACTION: Final = LazyPattern(r"\{\{(?:(-)(?=\s))?(.*?)(?:(?<=\s)(-))?\}\}", 16)  # re.DOTALL
_TOKEN: Final = LazyPattern(
    r"""\s*(?:(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<number>[0-9]{1,6}(?![\w.]))|(?P<variable>\$\w*)"""
    r"""|(?P<field>\.\w+)|(?P<dot>\.)|(?P<word>\w+)|(?P<sign>:=|[=|()]))"""
)
_VERB: Final = LazyPattern(r"%(?:[sv]|0?[0-9]?d)")
# The layout of a day in Go is that day of 2006: `2006-01-02`.
_LAYOUT: Final = LazyPattern(r"2006|January|Jan|01|02|[^0-9A-Za-z]|.", 16)
_LAYOUT_PARTS: Final = {"2006": _YEAR, "01": _MONTH, "02": _DAY}
# Characters; a template is a name with something in it.
_MOST_TEXT: Final = 2000
_MOST_DEPTH: Final = 10


class _Now(Struct, frozen=True):
    """The time of the run."""


class _Functions(Struct, frozen=True):
    """What `time` returns."""


_Value = str | int | tuple[str, ...] | _Now | _Functions


def expanded(template: str, fields: Mapping[str, str]) -> str:
    """Return the text of `template`; `fields` are the values of `.Sync.Source` and so on. Raises `Unconvertible`."""
    if len(template) > _MOST_TEXT:
        raise Unconvertible(f"the template has over {_MOST_TEXT} characters")
    if any(mark in template for mark in _MARKS):
        raise Unconvertible("it has characters that no name has")
    if "{{" not in template:
        return template
    text, at = "", 0
    variables: dict[str, _Value] = {}
    trims = False
    for action in _ACTION.compiled.finditer(template):
        before = template[at : action.start()]
        before = before.lstrip() if trims else before
        text += before.rstrip() if action[1] else before
        text += _Action(action[2], fields, variables).run()
        at, trims = action.end(), action[3] is not None
    text += template[at:].lstrip() if trims else template[at:]
    if "{{" in template[at:] or len(text) > _MOST_TEXT:
        raise Unconvertible("it is no template that can be read here")
    return text


def backup_tag(template: str) -> str:
    """Return the template of our own for a backup's tag. Raises `Unconvertible`."""
    fields = {
        ".Ref.Tag": TAG_MARK,
        # Only to see that another repository is meant.
        ".Ref.Registry": "registry/",
        ".Ref.Repository": "repository/",
        ".Ref.Reference": "registry/repository:",
    }
    text = expanded(template, fields).strip()
    if "/" in text or ":" in text:
        raise Unconvertible("a backup stays in its repository here, under another tag")
    if "{" in text or "}" in text:
        raise Unconvertible("no tag has braces")
    text = _DATE.compiled.sub("{date}", text)
    if any(mark in text for mark in (_YEAR, _MONTH, _DAY)):
        raise Unconvertible("of the time, only the whole date can be in a backup's tag here")
    if TAG_MARK not in text or text == TAG_MARK:
        raise Unconvertible("a backup's tag has to have the tag in it here, and more")
    return text.replace(TAG_MARK, "{tag}")


class _Action:
    """What stands in one pair of braces."""

    def __init__(self, source: str, fields: Mapping[str, str], variables: dict[str, _Value]) -> None:
        self._fields = fields
        self._variables = variables
        self._tokens = self._read(source)
        self._at = 0
        self._depth = 0

    @staticmethod
    def _read(source: str) -> list[tuple[str, str, bool]]:
        """Return the tokens: kind, text, and whether a space comes before."""
        tokens, at = [], 0
        source = source.rstrip()
        while at < len(source):
            found = _TOKEN.compiled.match(source, at)
            if found is None or found.lastgroup is None:
                raise Unconvertible("it is no template that can be read here")
            text = found[found.lastgroup]
            tokens.append((found.lastgroup, text, found.end() - len(text) > at or at == 0))
            at = found.end()
        return tokens

    def _peek(self) -> tuple[str, str, bool]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "", True)

    def run(self) -> str:
        """Return the text that the action leaves."""
        if not self._tokens:
            raise Unconvertible("it has an empty template")
        if self._peek()[0] == "variable" and [each[1] for each in self._tokens[1:2]] in ([":="], ["="]):
            name = self._peek()[1]
            self._at = 2
            self._variables[name] = self._pipeline()
            return ""
        value = self._pipeline()
        if self._at < len(self._tokens):
            raise Unconvertible("it is no template that can be read here")
        if isinstance(value, str | int):
            return str(value)
        raise Unconvertible("the template leaves no text")

    def _pipeline(self) -> _Value:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise Unconvertible("the template is nested too deep")
        value = self._command(())
        while self._peek()[1] == "|" and self._peek()[0] == "sign":
            self._at += 1
            value = self._command((value,))
        self._depth -= 1
        return value

    def _command(self, piped: tuple[_Value, ...]) -> _Value:
        kind, text, _ = self._peek()
        if kind == "word":
            self._at += 1
            if text == "time":
                return self._called(_Functions(), piped)
            return _function(text, (*self._arguments(), *piped))
        return self._called(self._term(), piped)

    def _called(self, value: _Value, piped: tuple[_Value, ...]) -> _Value:
        """Return what the fields and methods after `value` make of it; the last one takes the arguments."""
        names = self._chain()
        arguments = (*self._arguments(), *piped)
        for name in names[:-1]:
            value = _method(value, name, ())
        if names:
            return _method(value, names[-1], arguments)
        if arguments:
            raise Unconvertible("it calls what is no function")
        return value

    def _arguments(self) -> tuple[_Value, ...]:
        found: list[_Value] = []
        while self._peek()[0] != "end" and not (self._peek()[0] == "sign" and self._peek()[1] in (")", "|")):
            value: _Value
            if self._peek()[:2] == ("word", "time"):
                value = _Functions()
                self._at += 1
            else:
                value = self._term()
            for name in self._chain():
                value = _method(value, name, ())
            found.append(value)
        return tuple(found)

    def _chain(self) -> list[str]:
        """Return the names of the fields that follow without a space."""
        names = []
        while self._peek()[0] == "field" and not self._peek()[2]:
            names.append(self._peek()[1][1:])
            self._at += 1
        return names

    def _term(self) -> _Value:
        kind, text, _ = self._peek()
        self._at += 1
        match kind:
            case "text":
                return _unquoted(text)
            case "number":
                return int(text)
            case "field":
                path = text
                for name in self._chain():
                    path += f".{name}"
                if path not in self._fields:
                    raise Unconvertible(f"{path} is not known before the run")
                return self._fields[path]
            case "variable" if text in self._variables:
                return self._variables[text]
            case "sign" if text == "(":
                value = self._pipeline()
                if self._peek()[:2] != ("sign", ")"):
                    raise Unconvertible("a ( has no ) after it")
                self._at += 1
                return value
            case "word":
                raise Unconvertible(f"the function {text} is not known here")
            case _:
                raise Unconvertible("it is no template that can be read here")


def _unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    inner = text[1:-1]
    if "\\" in inner.replace("\\\\", "").replace('\\"', ""):
        raise Unconvertible("it has an escape that is not known here")
    return inner.replace('\\"', '"').replace("\\\\", "\\")


def _method(value: _Value, name: str, arguments: Sequence[_Value]) -> _Value:
    match value, name, tuple(arguments):
        case _Functions(), "Now", ():
            return _Now()
        case _Now(), "Year", ():
            return _YEAR
        case _Now(), "Month", ():
            return _MONTH
        case _Now(), "Day", ():
            return _DAY
        case _Now(), "UTC" | "Local", ():
            return value
        case _Now(), "Format", (str(layout),):
            return _laid_out(layout)
        case _Now(), _, _:
            raise Unconvertible("of the time, only the whole date can be in a backup's tag here")
        case _:
            raise Unconvertible(f".{name} is not known here")


def _laid_out(layout: str) -> str:
    text = ""
    for part in _LAYOUT.compiled.findall(layout):
        if part.isalnum() and part not in _LAYOUT_PARTS:
            raise Unconvertible("of the time, only the whole date can be in a backup's tag here")
        text += _LAYOUT_PARTS.get(part, part)
    return text


def _function(name: str, values: Sequence[_Value]) -> _Value:
    if name in ("env", "file"):
        raise Unconvertible(f"{name} reads what is known at the run only")
    match name, tuple(values):
        case "printf", (str(text), *rest):
            return _printed(text, rest)
        case "print", rest if all(isinstance(each, str) for each in rest):
            return "".join(map(str, rest))
        case (("lower" | "upper" | "trimSpace"), (str(text),)):
            if name != "trimSpace" and TAG_MARK in text:
                raise Unconvertible("a backup's tag keeps the case of the tag here")
            change: dict[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper, "trimSpace": str.strip}
            return change[name](text)
        case "split", (str(text), str(separator)) if separator and TAG_MARK not in text:
            return tuple(text.split(separator))
        case "join", (tuple(texts), str(separator)):
            return separator.join(texts)
        case "index", (tuple(texts), int(at)) if at < len(texts):
            return texts[at]
        case (("split" | "join" | "index" | "printf" | "print" | "lower" | "upper" | "trimSpace"), _):
            raise Unconvertible(f"{name} has no such values here")
        case _:
            raise Unconvertible(f"the function {name} is not known here")


def _printed(text: str, values: Sequence[_Value]) -> str:
    todo = list(values)
    parts = []
    at = 0
    for verb in _VERB.compiled.finditer(text):
        if not todo or not isinstance(todo[0], str | int):
            raise Unconvertible("printf has no such values here")
        parts += [text[at : verb.start()], str(todo.pop(0))]
        at = verb.end()
    parts.append(text[at:])
    if todo or any("%" in part for part in parts[::2]):
        raise Unconvertible("printf has no such values here")
    return "".join(parts)
