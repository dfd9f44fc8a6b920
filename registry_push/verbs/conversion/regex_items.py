"""Regular expressions of Go (RE2), read into sequences of sets of characters, as far as globs can follow them."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from .converted import Unconvertible

_DIGITS: Final = frozenset("0123456789")
_LOWER: Final = frozenset("abcdefghijklmnopqrstuvwxyz")
_UPPER: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD: Final = _DIGITS | _LOWER | _UPPER | {"_"}
# What tags and repositories' names consist of: of other characters no set needs to know.
TAG_CHARACTERS: Final = _WORD | frozenset(".-")
NAME_CHARACTERS: Final = _DIGITS | _LOWER | frozenset("_.-/")

_ESCAPED_SETS: Final = {"d": _DIGITS, "w": _WORD, "s": frozenset[str]()}
_NAMED_SETS: Final = {
    "alnum": _WORD - {"_"},
    "alpha": _LOWER | _UPPER,
    "digit": _DIGITS,
    "lower": _LOWER,
    "upper": _UPPER,
    "word": _WORD,
    "xdigit": _DIGITS | frozenset("abcdefABCDEF"),
}
# Characters; nobody writes a longer one for tags.
_MOST_PATTERN: Final = 300
_MOST_DEPTH: Final = 20
# `(a|b)?(c|d)?…` stands for so many sequences at most, and each for so many characters.
_MOST_SEQUENCES: Final = 64
_MOST_ITEMS: Final = 150
_MOST_REPEATS: Final = 20


class Item(Struct, frozen=True):
    """One of `chars`, `least` times; or, if `many`, so often or more."""

    chars: frozenset[str]
    least: int = 1
    many: bool = False


class _Edge(Struct, frozen=True):
    """The beginning or the end of the text."""

    is_start: bool


_Sequence = tuple[Item | _Edge, ...]
_START: Final = _Edge(True)
_END: Final = _Edge(False)


def sequences(pattern: str, alphabet: frozenset[str]) -> list[tuple[Item, ...]]:
    """Return the sequences that stand for all texts over `alphabet` in which `pattern` is found.

    None of them: it is found in no such text. Raises `Unconvertible`.
    """
    if len(pattern) > _MOST_PATTERN:
        raise Unconvertible(f"the expression has over {_MOST_PATTERN} characters")
    found = _Reader(pattern, alphabet).read()
    any_text = Item(alphabet, 0, many=True)
    return list(dict.fromkeys(simplified(_open_ended(each, any_text), alphabet) for each in found))


def _open_ended(sequence: _Sequence, any_text: Item) -> tuple[Item, ...]:
    """Return the sequence without its edges; without an edge, any text may come before or after."""
    start, end = 0, len(sequence)
    while start < end and sequence[start] == _START:
        start += 1
    while end > start and sequence[end - 1] == _END:
        end -= 1
    inner = tuple(item for item in sequence[start:end] if isinstance(item, Item))
    if len(inner) != end - start:
        raise Unconvertible("^ or $ stands inside the expression")
    return (*(() if start else (any_text,)), *inner, *(() if end < len(sequence) else (any_text,)))


def simplified(sequence: tuple[Item, ...], alphabet: frozenset[str]) -> tuple[Item, ...]:
    """Return a sequence for the same texts, in which no run stands beside one that covers it."""
    done: list[Item] = []
    for item in sequence:
        todo = [item]
        while todo:
            done.append(todo.pop())
            if len(done) > 1 and (joined := _joined(done[-2], done[-1], alphabet)) is not None:
                done[-2:] = []
                todo += reversed(joined)
    return tuple(done)


def _joined(left: Item, right: Item, alphabet: frozenset[str]) -> tuple[Item, ...] | None:
    if left.chars == right.chars and (left.many or right.many):
        return (Item(left.chars, left.least + right.least, many=True),)
    if left.many and right.many:
        if left.chars == alphabet:
            return (left, *(Item(right.chars),) * right.least)
        if right.chars == alphabet:
            return (*(Item(left.chars),) * left.least, right)
    return None


class _Reader:
    """Reads one expression, from the left."""

    def __init__(self, pattern: str, alphabet: frozenset[str]) -> None:
        self._pattern = pattern
        self._alphabet = alphabet
        self._at = 0
        self._depth = 0

    def read(self) -> list[_Sequence]:
        found = self._alternatives()
        if self._at < len(self._pattern):
            raise Unconvertible("a ) has no ( before it")
        return found

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        if self._at >= len(self._pattern):
            raise Unconvertible("the expression ends too early")
        self._at += 1
        return self._pattern[self._at - 1]

    def _skip(self, text: str) -> bool:
        if self._pattern.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _alternatives(self) -> list[_Sequence]:
        found = self._concatenation()
        while self._skip("|"):
            found = _bounded([*found, *self._concatenation()])
        return found

    def _concatenation(self) -> list[_Sequence]:
        found: list[_Sequence] = [()]
        while self._peek() not in ("", "|", ")"):
            found = _product(found, self._repeated(self._atom()))
        return found

    def _atom(self) -> list[_Sequence]:
        match self._next():
            case "(":
                return self._group()
            case "[":
                return self._one_of(self._class())
            case ".":
                return self._one_of(self._alphabet)
            case "^":
                return [(_START,)]
            case "$":
                return [(_END,)]
            case "\\":
                return self._escape()
            case "*" | "+" | "?" as sign:
                raise Unconvertible(f"{sign} stands where there is nothing to repeat")
            case literal:
                return self._one_of({literal})

    def _one_of(self, chars: frozenset[str] | set[str]) -> list[_Sequence]:
        known = self._alphabet & chars
        return [(Item(known),)] if known else []

    def _group(self) -> list[_Sequence]:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise Unconvertible("its groups are nested too deep")
        if self._skip("?P<") or self._skip("?<"):
            while self._next() != ">":
                pass
        elif not self._skip("?:") and self._peek() == "?":
            raise Unconvertible("it has flags, such as (?i)")
        found = self._alternatives()
        if not self._skip(")"):
            raise Unconvertible("a ( has no ) after it")
        self._depth -= 1
        return found

    def _escape(self) -> list[_Sequence]:
        char = self._next()
        if char == "A":
            return [(_START,)]
        if char == "z":
            return [(_END,)]
        return self._one_of(self._escaped(char))

    def _escaped(self, char: str) -> frozenset[str]:
        if char.lower() in _ESCAPED_SETS:
            known = _ESCAPED_SETS[char.lower()]
            return known if char.islower() else self._alphabet - known
        if char.isalnum():
            raise Unconvertible(f"globs have nothing for \\{char}")
        return frozenset(char)

    def _class(self) -> frozenset[str]:
        negated = self._skip("^")
        found: frozenset[str] = frozenset()
        is_first = True
        while is_first or self._peek() != "]":
            is_first = False
            if self._skip("[:"):
                end = self._pattern.find(":]", self._at)
                name = self._pattern[self._at : max(end, self._at)]
                if name not in _NAMED_SETS:
                    raise Unconvertible("it has a class that is not known here")
                self._at = end + 2
                found |= _NAMED_SETS[name]
                continue
            char = self._next()
            chars = self._escaped(self._next()) if char == "\\" else frozenset(char)
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("", "]") and len(chars) == 1:
                self._at += 1
                last = self._next()
                lasts = self._escaped(self._next()) if last == "\\" else frozenset(last)
                if len(lasts) != 1 or min(lasts) < min(chars):
                    raise Unconvertible("a class has a range that is none")
                chars = frozenset(each for each in self._alphabet if min(chars) <= each <= min(lasts))
            found |= chars
        self._at += 1
        return self._alphabet - found if negated else found

    def _repeated(self, atom: list[_Sequence]) -> list[_Sequence]:
        times = self._times()
        if times is None:
            return atom
        self._skip("?")  # the lazy ones match the same texts
        if self._peek() in ("*", "+", "?"):
            raise Unconvertible("it repeats a repetition")
        least, most = times
        found: list[_Sequence] = [()]
        for _ in range(least if most is not None else max(least - 1, 0)):
            found = _product(found, atom)
        if most is None:
            return _product(found, self._endless(atom, min(least, 1)))
        for _ in range(most - least):
            found = _bounded(list(dict.fromkeys([*found, *_product(found, atom)])))
        return found

    def _endless(self, atom: list[_Sequence], least: int) -> list[_Sequence]:
        chars: frozenset[str] = frozenset()
        for sequence in atom:
            (item,) = sequence if len(sequence) == 1 else (None,)
            if not isinstance(item, Item) or item.many or item.least != 1:
                raise Unconvertible("it repeats a group without an end")
            chars |= item.chars
        if not chars:
            return [] if least else [()]
        return [(Item(chars, least, many=True),)]

    def _times(self) -> tuple[int, int | None] | None:
        for sign, times in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(sign):
                return times
        if self._peek() != "{":
            return None
        end = self._pattern.find("}", self._at)
        least, comma, most = self._pattern[self._at + 1 : max(end, self._at)].partition(",")
        texts = [text for text in (least, most) if text]
        if not least or not all(text.isascii() and text.isdigit() and len(text) < 4 for text in texts):
            raise Unconvertible("it has a { that counts nothing")
        self._at = end + 1
        bounds = int(least), int(most) if most else None if comma else int(least)
        if max(bounds[0], bounds[1] or 0) > _MOST_REPEATS or (bounds[1] is not None and bounds[1] < bounds[0]):
            raise Unconvertible(f"it repeats something over {_MOST_REPEATS} times")
        return bounds


def _product(left: list[_Sequence], right: list[_Sequence]) -> list[_Sequence]:
    if len(left) * len(right) > _MOST_SEQUENCES:
        raise Unconvertible("it stands for too many globs")
    return _bounded([one + other for one in left for other in right])


def _bounded(found: list[_Sequence]) -> list[_Sequence]:
    if len(found) > _MOST_SEQUENCES or any(len(each) > _MOST_ITEMS for each in found):
        raise Unconvertible("it stands for too many globs")
    return found
