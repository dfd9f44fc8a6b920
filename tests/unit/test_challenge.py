"""WWW-Authenticate as registries send it, as they might, and as attackers would."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry_push.protocol.auth.challenge import Challenge, basic, bearer, parse_challenges, widened

_TOKEN = st.text(string.ascii_letters + string.digits + "!#$%&'*+.^_`|~-", min_size=1, max_size=12)
# What a quoted string may hold (RFC 9110, 5.6.4), `"` and `\` among it: those are written with a backslash.
_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
_PARAMETERS = st.dictionaries(_TOKEN.map(str.lower), _TEXT, min_size=1, max_size=4)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _written(challenge: tuple[str, dict[str, str]]) -> str:
    scheme, parameters = challenge
    return f"{scheme} " + ",".join(f"{name}={_quoted(value)}" for name, value in parameters.items())


@pytest.mark.parametrize(
    ("who", "header", "realm", "service", "scopes"),
    [
        (
            "distribution",
            'Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push"',
            "https://auth.example/token",
            "r.example",
            ("repository:a/b:pull,push",),
        ),
        (
            "distribution, for a mount",
            'Bearer realm="https://a/t",service="s",scope="repository:a:pull,push repository:b:pull"',
            "https://a/t",
            "s",
            ("repository:a:pull,push", "repository:b:pull"),
        ),
        (
            "distribution, after an expired token",
            'Bearer realm="https://a/t",service="s",scope="repository:a:pull",error="invalid_token"',
            "https://a/t",
            "s",
            ("repository:a:pull",),
        ),
        ("Ollama, no scope yet", 'Bearer realm="https://ollama.com/v2/token"', "https://ollama.com/v2/token", None, ()),
        ("capitals, blanks and tabs", 'BEARER\tRealm = "https://a/t" , SERVICE="s"', "https://a/t", "s", ()),
        ("no commas between", 'Bearer realm="https://a/t" service="s"', "https://a/t", "s", ()),
        ("commas too many", ',, Bearer realm="https://a/t",, ,service="s",', "https://a/t", "s", ()),
        ("an unquoted word", 'Bearer realm="https://a/t",service=s.example', "https://a/t", "s.example", ()),
        ("a comma and an equals sign inside", 'Bearer realm="https://a/t?x=1,y=2"', "https://a/t?x=1,y=2", None, ()),
        ("the word Basic inside", 'Bearer realm="https://a/t",service="x, Basic y"', "https://a/t", "x, Basic y", ()),
        ("twice the same name", 'Bearer realm="https://a/t",realm="https://evil/t"', "https://a/t", None, ()),
    ],
)
def test_a_bearer_challenge_is_read(
    who: str, header: str, realm: str, service: str | None, scopes: tuple[str, ...]
) -> None:
    challenge = bearer(parse_challenges([header]))
    assert challenge is not None, who
    assert (challenge.realm, challenge.service, challenge.scopes) == (realm, service, scopes)


def test_gitea_offers_bearer_and_basic_in_two_headers() -> None:
    challenges = parse_challenges(['Bearer realm="https://g/v2/token"', 'Basic realm="Gitea Package API"'])
    assert [each.scheme for each in challenges] == ["bearer", "basic"]


def test_two_challenges_in_one_header_are_two() -> None:
    challenges = parse_challenges(['Basic realm="a, b", charset="UTF-8", Bearer realm="https://a/t",service="s"'])
    assert [(each.scheme, dict(each.parameters)) for each in challenges] == [
        ("basic", {"realm": "a, b", "charset": "UTF-8"}),
        ("bearer", {"realm": "https://a/t", "service": "s"}),
    ]


@pytest.mark.parametrize("token68", ["abc==", "a/b+c=", "YWJj", "oRQwEqADCgEB=="])
def test_a_token68_does_not_hide_the_challenge_behind_it(token68: str) -> None:
    challenge = bearer(parse_challenges([f'Negotiate {token68}, Bearer realm="https://a/t"']))
    assert challenge is not None
    assert challenge.realm == "https://a/t"


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", 'Bearer realm=""', 'Bearer service="s"', "Bearer realm"])
def test_a_bearer_challenge_without_a_realm_is_none_to_use(header: str) -> None:
    assert bearer(parse_challenges([header])) is None


@pytest.mark.parametrize("header", ["", " ", ",", '"', "=", 'realm="x"', "\\", '="x"'])
def test_nonsense_holds_no_challenge(header: str) -> None:
    assert parse_challenges([header]) == ()


def test_an_unfinished_quotation_leaves_the_challenges_before_it() -> None:
    challenge = bearer(parse_challenges(['Bearer realm="https://a/t",service="never ends']))
    assert challenge is not None
    assert (challenge.realm, challenge.service) == ("https://a/t", None)


def test_basic_needs_no_realm() -> None:
    assert basic(parse_challenges(["Basic"])) == Challenge("basic")
    assert basic(parse_challenges(['Bearer realm="x"'])) is None


# Hypothesis' own deadline would measure the machine; here the header's length and the time go together.
@pytest.mark.parametrize(
    "header",
    [
        "Bearer " + '"' * 8185,
        "Bearer " + 'a="' * 2700,
        'Bearer a="' + "\\" * 8180,
        'Bearer a="' + '\\"' * 4000,
        "Bearer " + 'a="\\" ' * 1300,
        'Bearer a="x"' + " " * 8170 + "(",
        "Bearer a" + " " * 4000 + "=" + " " * 4000 + "(",
        "Bearer a=" + "b" * 8000 + "(",
        "a " * 4096,
        "a=" * 4096,
        "a" * 8191 + '"',
        # Blanks at the end were once tried from each of their positions: 2.5 s for each such header.
        " " * 8192,
        "," * 8192,
        "Bearer" + " ," * 4093,
        'Bearer realm="x"' + " " * 8170,
    ],
    ids=lambda header: f"{header[:12]!r}…",
)
def test_no_header_holds_up_the_event_loop(header: str) -> None:
    began = time.process_time()
    parse_challenges([header])
    assert time.process_time() - began < 0.25, "an honest one takes microseconds"


def test_a_header_over_8_kib_is_cut_off() -> None:
    assert parse_challenges(["a=" * 10_000 + ' Bearer realm="x"']) == ()


@given(st.lists(st.text(max_size=300), max_size=3))
@example(['Bearer realm="\\'])
@example(["\x00 \x85 \u2028 Bearer"])
def test_parsing_never_raises(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme == challenge.scheme.lower() != ""


@given(st.lists(st.lists(st.tuples(_TOKEN, _PARAMETERS), min_size=1, max_size=3), max_size=3))
def test_what_is_written_by_the_grammar_is_read_again(headers: list[list[tuple[str, dict[str, str]]]]) -> None:
    parsed = parse_challenges([", ".join(map(_written, header)) for header in headers])
    expected = [(scheme.lower(), parameters) for header in headers for scheme, parameters in header]
    assert [(each.scheme, dict(each.parameters)) for each in parsed] == expected


@pytest.mark.parametrize(
    ("asked", "wanted", "both"),
    [
        ((), ("repository:a:pull,push",), ("repository:a:pull,push",)),
        (("repository:a:pull",), ("repository:a:pull,push",), ("repository:a:pull,push",)),
        (("repository:a:pull,push",), ("repository:a:pull",), ("repository:a:pull,push",)),
        (("repository:a:push,pull",), ("repository:a:pull,push",), ("repository:a:push,pull",)),
        (("registry:catalog:*",), (), ("registry:catalog:*",)),
        (("repository:h:5000/a:pull",), ("repository:h:5000/a:push",), ("repository:h:5000/a:pull,push",)),
        (("nonsense",), ("repository:a:pull",), ("repository:a:pull",)),
    ],
)
def test_a_scope_is_widened_to_what_will_be_wanted(
    asked: tuple[str, ...], wanted: tuple[str, ...], both: tuple[str, ...]
) -> None:
    assert widened(asked, wanted) == both


def test_gitlab_counts_the_last_scope_only_so_the_target_comes_last() -> None:
    # distribution's challenge to a mount names the target first and the source after it.
    asked = ("repository:own:pull,push", "repository:other:pull")
    wanted = ("repository:other:pull", "repository:own:pull,push")
    assert widened(asked, wanted)[-1] == "repository:own:pull,push"
