"""Names, digests, references and places: what they spell, and what hostile input does to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.errors import InvalidDigest, InvalidName, ManifestCorrupt, NameNotMappable, UsageError
from registry_push.model import Descriptor, Digest, HTTPOrigin, ModelName, Reference
from registry_push.model.place import (
    Below,
    Exactly,
    LayoutPlace,
    OllamaPlace,
    RegistryPlace,
    parse_destination,
    parse_place,
)

HEX = "0123456789abcdef" * 4
FIRST = "[A-Za-z0-9_]"

names = st.builds(
    ModelName,
    st.from_regex(FIRST + r"[A-Za-z0-9_.:-]{0,40}\Z", fullmatch=True),
    st.from_regex(FIRST + r"[A-Za-z0-9_-]{0,79}\Z", fullmatch=True),
    st.from_regex(FIRST + r"[A-Za-z0-9_.-]{0,79}\Z", fullmatch=True),
    st.from_regex(FIRST + r"[A-Za-z0-9_.-]{0,79}\Z", fullmatch=True),
    st.sampled_from(["https", "http"]),
)
part = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
references = st.builds(
    Reference,
    st.from_regex(r"[a-z0-9]{1,10}(\.[a-z]{2,5})?(:[1-9][0-9]{0,3})?", fullmatch=True),
    st.lists(part, min_size=1, max_size=4).map("/".join),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True),
    st.none() | st.binary().map(Digest.of),
    st.sampled_from([None, "http", "https"]),
)
digests = st.binary().map(Digest.of)


class TestModelName:
    @given(names)
    def test_what_it_prints_it_reads(self, name: ModelName) -> None:
        assert ModelName.parse(str(name)) == name

    @given(names)
    def test_its_short_form_means_the_same_model(self, name: ModelName) -> None:
        assert ModelName.parse(name.short).same_as(name)

    @given(names)
    def test_its_path_leads_back_and_never_out(self, name: ModelName) -> None:
        assert ModelName.from_path_parts(name.path_parts).path_parts == name.path_parts
        assert not any(part in ("", ".", "..") or "/" in part or "\\" in part for part in name.path_parts)

    @given(st.text(alphabet="ab/:.@-_% \n\x00\\é", max_size=20))
    def test_any_text_is_a_name_or_a_usage_error(self, text: str) -> None:
        try:
            name = ModelName.parse(text)
        except InvalidName:
            return
        assert ModelName.parse(str(name)) == name

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("model", ("registry.ollama.ai", "library", "model", "latest")),
            ("model:7b-v2.6-q6_K", ("registry.ollama.ai", "library", "model", "7b-v2.6-q6_K")),
            ("ns/model", ("registry.ollama.ai", "ns", "model", "latest")),
            ("host/ns/model", ("host", "ns", "model", "latest")),
            ("host:5000/ns/model:tag", ("host:5000", "ns", "model", "tag")),
            ("host:port/ns/model", ("host:port", "ns", "model", "latest")),
            ("_why/_the/_lucky:_stiff", ("_why", "_the", "_lucky", "_stiff")),
            ("h/n/m:t", ("h", "n", "m", "t")),
            (f"{'3' * 350}/{'8' * 80}/{'8' * 80}:{'8' * 80}", ("3" * 350, "8" * 80, "8" * 80, "8" * 80)),
            ("host./ns/model.:t.", ("host.", "ns", "model.", "t.")),
        ],
    )
    def test_as_ollama_reads_it(self, text: str, parts: tuple[str, ...]) -> None:
        assert ModelName.parse(text).path_parts == parts

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "^",
            "mm:",
            ":tag",
            "/mm",
            "/nn/mm",
            "//",
            "//mm",
            "hh//",
            "//mm:@",
            "@",
            "@t",
            "m@d",
            "00@",
            "n/m:",
            "-hh/nn/mm:tt",
            "hh/-nn/mm:tt",
            "hh/nn/-mm:tt",
            "hh/nn/mm:-tt",
            ".h/nn/mm",
            "hh/nn/.mm",
            "hh/nn/mm:.tt",
            "host/name:space/model:tag",
            "host/na.me/model",
            "a/b/c/d",
            "mm\n",
            "mm:tt\n",
            "hh\n/nn/mm",
            "m m",
            "möd",
            f"{'8' * 81}",
            f"h/{'8' * 81}/m",
            f"m:{'8' * 81}",
            f"{'3' * 351}/n/m",
            "../../etc/passwd",
            "h/n/m:..",
            "ftp://host/ns/model",
            "://h/n/m",
            "https:///n/m",
        ],
    )
    def test_no_name_to_ollama(self, text: str) -> None:
        with pytest.raises(InvalidName):
            ModelName.parse(text)

    @pytest.mark.parametrize(
        ("text", "short"),
        [
            ("model", "model:latest"),
            ("registry.ollama.ai/library/model:tag", "model:tag"),
            ("REGISTRY.ollama.ai/Library/model:tag", "model:tag"),
            ("registry.ollama.ai/ns/model:tag", "ns/model:tag"),
            ("host/library/model:tag", "host/library/model:tag"),
        ],
    )
    def test_shown_as_ollama_shows_it(self, text: str, short: str) -> None:
        assert ModelName.parse(text).short == short

    def test_a_path_needs_four_parts(self) -> None:
        for parts in ((), ("m", "t"), ("n", "m", "t"), ("h", "n", "m", "t", "x"), ("..", "..", "m", "t")):
            with pytest.raises(InvalidName):
                ModelName.from_path_parts(parts)

    def test_case_makes_no_other_model(self) -> None:
        assert ModelName.parse("Me/Tiny:Q4_K").same_as(ModelName.parse("me/tiny:q4_k"))
        assert ModelName.parse("Me/Tiny") != ModelName.parse("me/tiny")

    def test_http_is_kept(self) -> None:
        name = ModelName.parse("http://host:5000/ns/model")
        assert (name.scheme, name.host, str(name)) == ("http", "host:5000", "http://host:5000/ns/model:latest")


class TestDigest:
    @given(digests)
    def test_both_spellings_and_cases_are_one(self, digest: Digest) -> None:
        spellings = (str(digest), digest.path_name, f"sha256:{digest.hex.upper()}")
        assert {Digest.parse(spelling) for spelling in spellings} == {digest}

    @pytest.mark.attack("CVE-2024-37032")
    @pytest.mark.parametrize(
        "text",
        [
            "sha256:../../../../../../etc/passwd",
            f"sha256:{HEX[:-20]}/../../../../../etc",
            f"sha256-{HEX}/../../x",
            f"../sha256-{HEX}",
            "sha256:" + "../" * 21 + "x",
        ],
    )
    def test_cve_2024_37032_no_path_in_a_digest(self, text: str) -> None:
        with pytest.raises(InvalidDigest):
            Digest.parse(text)
        with pytest.raises(ManifestCorrupt):
            Descriptor.parse({"mediaType": "a/b", "digest": text, "size": 1})

    @pytest.mark.attack("CVE-2026-7020")
    @pytest.mark.parametrize("tail", ["\n", "\n../..", "\x00", "\r", " ", "\u2028"])
    def test_cve_2026_7020_nothing_follows_a_digest(self, tail: str) -> None:
        with pytest.raises(InvalidDigest):
            Digest.parse(f"sha256:{HEX}{tail}")

    @pytest.mark.parametrize(
        "value",
        [
            "",
            HEX,
            "sha256:",
            f"sha256:{HEX[1:]}",
            f"sha256:{HEX}0",
            f"sha512:{HEX}",
            f"SHA256:{HEX}",
            f"sha256_{HEX}",
            f"sha256:{'٣' * 64}",
            None,
            5,
            ["x"],
            b"sha256:" + HEX.encode(),
        ],
    )
    def test_nothing_else_is_a_digest(self, value: object) -> None:
        with pytest.raises(InvalidDigest):
            Digest.parse(value)


class TestReference:
    @given(references)
    def test_what_it_prints_it_reads(self, reference: Reference) -> None:
        assert Reference.parse(str(reference)) == reference

    def test_another_tag_is_checked_as_the_first_was(self) -> None:  # msgspec 0.20 would not
        with pytest.raises(InvalidName):
            Reference("host", "a").at(tag="-t")

    @given(st.text(alphabet="aA/:.@-_% \n0[]", max_size=20))
    def test_any_text_is_a_reference_or_a_usage_error(self, text: str) -> None:
        try:
            reference = Reference.parse(text)
        except UsageError:
            return
        assert Reference.parse(str(reference)) == reference

    @pytest.mark.parametrize(
        "text",
        [
            "host/Upper",
            "host/a//b",
            "host/a/../b",
            "host/a___b",
            "host/.a",
            "host/a-",
            "host/a:",
            "host/a:-t",
            "host/",
            "host/a?x=1",
            "host/a#b",
            "user@host/a",
            "host:99999/a",
            "host:/a",
            "-host/a",
            "host/a:t\n",
            "host\n/a",
            f"host/a:{'t' * 129}",
            f"host/{'a' * 260}",
            "ftp://host/a",
            "host/a@sha256:00",
            "ho st/a",
            "host/ä",
        ],
    )
    def test_no_reference_to_oci(self, text: str) -> None:
        with pytest.raises(UsageError):
            Reference.parse(text)

    def test_a_name_that_oci_forbids_is_not_changed_silently(self) -> None:
        with pytest.raises(NameNotMappable) as caught:
            Reference.for_model(ModelName.parse("registry.example.com/Me/Tiny:7B"))
        assert caught.value.hint == "give it a name: --to registry.example.com/me/tiny:7B"

    def test_ollamas_registry_takes_ollamas_names(self) -> None:
        assert Reference.for_model(ModelName.parse("Me/Tiny:7B")).repository == "Me/Tiny"

    def test_only_this_machine_is_http_without_a_word(self) -> None:
        schemes = {
            host: Reference.parse(f"{host}/a").origin().scheme
            for host in ("localhost:5000", "127.0.0.1:5000", "[::1]:5000", "registry.example.com", "127.0.0.1.evil.com")
        }
        assert list(schemes.values()) == ["http", "http", "http", "https", "https"]


class TestPlaces:
    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("ollama:", OllamaPlace(None)),
            ("ollama:me/tiny", OllamaPlace(ModelName.parse("me/tiny"))),
            ("llama3.2:3b", OllamaPlace(ModelName.parse("llama3.2:3b"))),
            ("host:5000/ns/model:tag", OllamaPlace(ModelName.parse("host:5000/ns/model:tag"))),
            ("registry:h.example/a/b/c:t", RegistryPlace(Reference("h.example", "a/b/c", "t"))),
            ("docker://h.example/a", RegistryPlace(Reference("h.example", "a"))),
            ("oci:dir", LayoutPlace("dir", None)),
            ("oci:some/dir:v1", LayoutPlace("some/dir", "v1")),
            ("oci:C:\\models", LayoutPlace("C:\\models", None)),
        ],
    )
    def test_a_place_is_what_is_written(self, text: str, place: object) -> None:
        assert parse_place(text) == place

    @pytest.mark.parametrize(
        ("text", "destination"),
        [
            ("h.example/", Below("h.example", "", None)),
            ("h.example/ml/", Below("h.example", "ml", None)),
            ("http://h.example:80/ml/", Below("h.example:80", "ml", "http")),
            ("https://localhost/ml/", Below("localhost", "ml", "https")),
            ("h.example/ml/x:t", Exactly(Reference("h.example", "ml/x", "t"))),
            ("me/tiny:t", Exactly(Reference("registry.ollama.ai", "me/tiny", "t"))),
            ("me/tiny", Exactly(Reference("registry.ollama.ai", "me/tiny"))),
        ],
    )
    def test_a_destination_is_what_is_written(self, text: str, destination: object) -> None:
        assert parse_destination(text) == destination

    @given(st.text(alphabet="aA/:.@-_ oci\n", max_size=16))
    def test_any_text_is_a_place_or_a_usage_error(self, text: str) -> None:
        for parse in (parse_place, parse_destination):
            try:
                parse(text)
            except UsageError as error:
                assert error.exit_code == 2


class TestHTTPOrigin:
    @given(st.text(alphabet="htps:/ab.[]@0:\n ", max_size=20))
    def test_any_text_is_an_origin_or_a_usage_error(self, text: str) -> None:
        try:
            origin = HTTPOrigin.of(text)
        except InvalidName:
            return
        assert HTTPOrigin.of(str(origin)) == origin

    def test_the_schemes_own_port_is_no_other_origin(self) -> None:
        assert HTTPOrigin.of("https://h/") == HTTPOrigin.of("https://H:443/x?y") != HTTPOrigin.of("https://h:444")
        assert HTTPOrigin.of("http://h/") != HTTPOrigin.of("https://h/")


def test_docker_hub_is_named_docker_io_and_asked_elsewhere() -> None:
    name = ModelName.parse("team/tuned:v2")
    reference = Reference.below("docker.io", "me", name)
    assert str(reference) == "docker.io/me/tuned:v2", "its names have two parts"
    assert str(reference.origin()) == "https://registry-1.docker.io"
    assert str(Reference.parse("index.docker.io/me/x").origin()) == "https://registry-1.docker.io"
    for text in ("docker.io/me/team/x", "docker.io/x"):
        with pytest.raises(InvalidName, match="two parts of a name at Docker Hub"):
            Reference.parse(text)
