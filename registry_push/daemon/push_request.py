"""`PushRequest`: the body of `POST /api/push` (api/types.go there)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self

from ..errors import UsageError
from ..model.json_errors import why_not_json


@dataclass(frozen=True, slots=True)
class PushRequest:
    """A client's request. Without `username` this machine's logins are used, as by the command."""

    model: str
    stream: bool = True
    insecure: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Parse JSON. As in Go, null counts as absent, and unknown fields are ignored.

        Raises `UsageError`.
        """
        if not body.strip():
            raise UsageError("missing request body", hint='send JSON: {"model": "NAME"}')
        try:
            document = json.loads(body.decode(), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"the body is no JSON: {why_not_json(error)}", hint='send JSON: {"model": "NAME"}'
            ) from None
        if not isinstance(document, dict):
            raise UsageError("the body is no JSON object", hint='send one: {"model": "NAME"}')
        # `name` is the old name of `model`; empty counts as absent.
        model = _field(document, "model", str) or _field(document, "name", str)
        if not model:
            raise UsageError("model is required", hint='name it: {"model": "NAMESPACE/MODEL:TAG"}')
        username, password = _field(document, "username", str), _field(document, "password", str)
        if bool(username) != bool(password):
            raise UsageError("a login needs both username and password", hint="send both, or neither")
        return cls(
            model,
            stream=_field(document, "stream", bool) is not False,
            insecure=_field(document, "insecure", bool) is True,
            username=username or None,
            password=password or None,
        )


def _field(document: dict[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, kind):
        raise UsageError(f"{name} must be a {'boolean' if kind is bool else 'string'}")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:  # JSON can contain half a character, which no header can carry
            raise UsageError(f"{name} has half a character in it") from None
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
