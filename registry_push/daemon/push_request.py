"""`PushRequest`: the body of `POST /api/push` (api/types.go there)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self

from ..errors import UsageError
from ..model.json_errors import why_not_json


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What was asked for. Without `username` the logins of this machine are used, as the command does."""

    model: str
    stream: bool = True
    insecure: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """From JSON. As in Go, null is as good as absent, and fields that are not known are passed over.

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
        # `name` is what `model` was called before; empty is as good as absent.
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
        except UnicodeEncodeError:  # JSON can spell half a character, and no header can carry it
            raise UsageError(f"{name} has half a character in it") from None
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
