"""Files of this machine: logins, keys, settings, journals, layouts, stores; and what credential helpers say."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import sys
import tarfile
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import click

from registry_push.auth.credential_helper import parse_login
from registry_push.auth.credentials import CredentialStore
from registry_push.auth.identity import Identity
from registry_push.content.base import FileIdentity
from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.layout import OCILayout
from registry_push.content.ollama.source import OllamaStore
from registry_push.errors import RegistryPushError
from registry_push.events import ignore
from registry_push.model import Digest, ModelName, UploadKey
from registry_push.options.flags import options, settings_of
from registry_push.protocol.upload.requests import UploadRecord
from registry_push.registry.profile import Profile
from registry_push.settings import Settings
from registry_push.state.journal import Journal
from registry_push.state.push_record import PushRecord

from ..support.archives import archive_of, info
from .target import Call, Target, pure, text_of
from .values import LIST, MANIFESTS

_KEYS: Final = Path(__file__).parents[2] / "fixtures/keys"
_KEY: Final = UploadKey("https://r.example", "a/b", Digest.of(b"blob"))
_NOW: Final = 1_000_000.0


# ── logins ────────────────────────────────────────────────────────────────────────────────────────


def _logins(folder: Path) -> Call:
    folder.mkdir(parents=True)
    file = folder / "config.json"

    async def look_up(data: bytes) -> None:
        file.write_bytes(data)
        for host, repository in (("r.example:5000", "ml/model"), ("docker.io", "library/x")):
            login = await CredentialStore(file, {"PATH": ""}, folder, None).lookup(host, repository)
            assert login is None or isinstance(login.username + login.password, str)

    return look_up


def _variable(folder: Path) -> Call:
    async def look_up(data: bytes) -> None:
        environ = {"DOCKER_AUTH_CONFIG": text_of(data.replace(b"\0", b"")), "PATH": ""}
        await CredentialStore(None, environ, folder, None).lookup("r.example:5000", "ml/model")

    return look_up


def _helper(folder: Path) -> Call:
    def read(data: bytes) -> None:
        answer = parse_login(data, "docker-credential-x", "try it")
        assert answer is None or isinstance(answer.username + answer.secret, str)

    return read


def _key(folder: Path) -> Call:
    folder.mkdir(parents=True)
    file = folder / "key"

    def load(data: bytes) -> None:
        file.write_bytes(data)
        assert len(Identity.load(file).sign(b"text")) == 64

    return load


def _config(folder: Path) -> Call:
    folder.mkdir(parents=True)
    file = folder / "config.toml"

    @click.command()
    @options("store", "registry", "transfer", "service")
    def probe(**flags: Any) -> None:
        settings_of(flags)

    def read(data: bytes) -> None:
        file.write_bytes(data)
        given, sys.stdin = sys.stdin, io.StringIO("a word\n")
        try:
            probe.main(["--config", str(file), "--state-dir", str(folder)], standalone_mode=False)
        finally:
            sys.stdin = given

    return read


# ── the journal ───────────────────────────────────────────────────────────────────────────────────


def _written(folder: Path) -> bytes:
    """A journal in which there is one of everything."""
    journal = Journal(folder, ignore, now=lambda: _NOW)
    journal.save(_KEY, 1000, UploadRecord("https://r.example/v2/a/b/blobs/uploads/1?_state=x", 64))
    journal.learn("https://r.example", Profile(chunk_limit=1 << 20))
    journal.verify(FileIdentity(1, 2, 3, 4, 5), _KEY.digest)
    journal.begin(PushRecord("/models", "me/tiny:latest", ("https://r.example/a/b:c",), (("plain_http", True),)))
    journal.close()
    with closing(sqlite3.connect(folder / "journal.sqlite3")) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("VACUUM")
    return (folder / "journal.sqlite3").read_bytes()


def _use(folder: Path) -> None:
    """All that commands do with a journal. It raises nothing, our errors neither: it is done without."""
    try:
        _read_all(folder)
    except RegistryPushError as error:
        raise AssertionError(f"the journal raises {type(error).__name__}") from error


def _read_all(folder: Path) -> None:
    journal = Journal(folder, ignore, now=lambda: _NOW)
    try:
        journal.load(_KEY)
        journal.profile("https://r.example")
        journal.verified(FileIdentity(1, 2, 3, 4, 5))
        for entry in journal.entries():
            assert 0 <= entry.record.acknowledged(entry.size) <= entry.size
            assert not journal.is_held(entry.key)
        for order, _ in journal.records():
            assert isinstance(order.short, str)
            with suppress(RegistryPushError):
                order.settings(Settings(home=Path("nowhere")))
            journal.end(order)
        journal.save(_KEY, 1000, UploadRecord("https://r.example/x", 64))
        journal.verify(FileIdentity(9, 9, 9, 9, 9), _KEY.digest)
    finally:
        journal.close()


def _damaged(folder: Path) -> Call:
    seed = _written(folder / "seed")

    def use(data: bytes) -> None:
        """The input says which bytes of a whole journal become which."""
        content = bytearray(seed)
        for at in range(0, len(data) - 2, 3):
            content[int.from_bytes(data[at : at + 2]) % len(content)] = data[at + 2]
        _fresh(folder / "state").write_bytes(content[: len(content) - len(data) % 3 * len(data) * 100])
        _use(folder / "state")

    return use


def _rows(folder: Path) -> Call:
    _written(folder / "seed")

    def use(data: bytes) -> None:
        """The input is the rows of each table."""
        file = _fresh(folder / "state")
        file.write_bytes((folder / "seed" / "journal.sqlite3").read_bytes())
        try:
            tables = json.loads(data)
        except (ValueError, RecursionError):
            return
        with closing(sqlite3.connect(file)) as database:
            for name, rows in tables.items() if isinstance(tables, dict) else ():
                for row in rows if isinstance(rows, list) else ():
                    with suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
                        marks = ", ".join("?" * len(row)) if isinstance(row, list) else ""
                        database.execute(f"INSERT OR REPLACE INTO {name} VALUES ({marks})", row)
            database.commit()
        _use(folder / "state")

    return use


def _fresh(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    return folder / "journal.sqlite3"


def _order(text: str) -> None:
    order = PushRecord.read(text)
    if order is not None:
        assert isinstance(order.short, str)
        order.settings(Settings(home=Path("nowhere")))


_UPLOAD: Final = [
    "https://r.example",
    "a/b",
    str(_KEY.digest),
    1000,
    '["https://r.example/x?y=z",64,0,[],0,false]',
    _NOW,
]
_PARTS: Final = [
    "https://r.example",
    "c",
    str(_KEY.digest),
    1000,
    '["https://r.example/x",0,100,[0,2,5],3,false]',
    _NOW,
]
_ROWS: Final = (
    json.dumps({"uploads": [_UPLOAD, _PARTS]}).encode(),
    json.dumps({"hosts": [["https://r.example", "[1048576, 1, 1000.0, true]", _NOW]]}).encode(),
    json.dumps({"files": [[1, 2, 3, 4, 5, str(_KEY.digest), _NOW]]}).encode(),
    json.dumps({"pushes": [['["/models","me/tiny:latest",["https://r.example/a/b:c"],{"jobs":1}]', _NOW]]}).encode(),
)
_ORDERS: Final = (
    b'["/models", "me/tiny:latest", ["https://r.example/a/b:c"], {"plain_http": true, "chunk_size": 1048576}]',
    b'["/m", "x", [], {"allow_realms": ["auth.example"], "key": "/k", "dialect": "ollama", "tls_verify": false}]',
)


# ── content ───────────────────────────────────────────────────────────────────────────────────────


def _layout(folder: Path) -> Call:
    layout = OCILayout(folder)
    (folder / "blobs" / "sha256").mkdir(parents=True)
    for content in MANIFESTS:
        layout.blob_path(Digest.of(content)).write_bytes(content)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    async def resolve(data: bytes) -> None:
        (folder / "index.json").write_bytes(data)
        for ref in (*(await layout.tags())[:2], None):
            manifest = await layout.resolve(ref)
            for blob in manifest.blobs[:2]:
                await layout.exists(blob)

    return resolve


def _archive(folder: Path) -> Call:
    folder.mkdir(parents=True)
    path = folder / "a.tar"

    async def resolve(data: bytes) -> None:
        path.write_bytes(summed(data))
        async with OCIArchive(path) as archive:
            for ref in (*(await archive.tags())[:2], None):
                manifest = await archive.resolve(ref)
                for blob in manifest.blobs[:2]:
                    body = await archive.open(blob)
                    assert sum([len(piece) async for piece in body.open(0, blob.size)]) == blob.size

    return resolve


def summed(data: bytes) -> bytes:
    """With the right sum in each header, or no change would ever be looked at."""
    blocks = [data[at : at + 512] for at in range(0, len(data), 512)]
    for number, block in enumerate(blocks):
        if b"ustar" in block[250:270] and len(block) == 512:
            total = sum(block) - sum(block[148:156]) + 8 * 32
            blocks[number] = block[:148] + b"%06o\0 " % total + block[156:]
    return b"".join(blocks)


def _store(folder: Path) -> Call:
    name = ModelName.parse("me/tiny")
    file = folder.joinpath("manifests", *name.path_parts)
    file.parent.mkdir(parents=True)
    (folder / "blobs").mkdir()
    store = OllamaStore(folder)

    async def read(data: bytes) -> None:
        file.write_bytes(data)
        manifest = await store.resolve(name)
        await store.refuse_stub(manifest)
        await store.check(manifest)
        await store.children(manifest)

    return read


_ARCHIVES: Final = (
    archive_of(),
    archive_of(prefix="./", form=tarfile.GNU_FORMAT, folders=["blobs"]),
    archive_of(None, (info("a/" * 100 + "b", 1, pax_headers={"comment": "x"}), b"x"), form=tarfile.PAX_FORMAT),
    archive_of(None, (info("a/" * 100 + "b", 1), b"x"), form=tarfile.GNU_FORMAT),
)
_CONFIG_TOML: Final = (
    b'jobs = 4\nchunk-size = "64MiB"\ntls-verify = false\nallow-realm = ["a.example"]\nusername = "me"\n',
    b'models = "/srv/models"\nbwlimit = 1000000\ndialect = "ollama"\npassword-stdin = true\nverbose = true\n',
)
_AUTH: Final = base64.b64encode(b"me:word").decode()
_LOGINS: Final = (
    json.dumps({"auths": {"r.example:5000": {"auth": _AUTH}, "r.example:5000/ml": {"identitytoken": "t"}}}).encode(),
    json.dumps(
        {"auths": {"https://index.docker.io/v1/": {"username": "me", "password": "w"}}, "HttpHeaders": {}}
    ).encode(),
    json.dumps({"credHelpers": {"r.example:5000": "ecr-login"}, "credsStore": "desktop"}).encode(),
    json.dumps({"auths": {"r.example:5000/ml/model": {"registrytoken": "t"}}}).encode(),
)
_HELPERS: Final = (
    b'{"ServerURL":"r.example","Username":"me","Secret":"word"}',
    b'{"Username":"<token>","Secret":"t"}',
    b"credentials not found in native keychain",
)
_FIELDS: Final = (b'"auths"', b'"auth"', b'"credHelpers"', b'"credsStore"', b'"identitytoken"', b'"r.example:5000"')


def _damage() -> tuple[bytes, ...]:
    """Places all over a journal of six pages, and values that SQLite reads as other lengths and types."""
    return tuple(bytes([page * 16, at, value]) * 2 for page in range(6) for at, value in ((0, 0), (3, 255), (100, 13)))


FILES: Final = (
    Target("files-of-logins", _LOGINS, _logins, _FIELDS),
    Target("DOCKER_AUTH_CONFIG", _LOGINS, _variable, _FIELDS),
    Target("helpers-answers", _HELPERS, _helper, (b'"Username"', b'"Secret"')),
    Target("keys", ((_KEYS / "id_ed25519").read_bytes(),), _key, (b"-----BEGIN", b"none", b"ssh-rsa", b"b3Blbn")),
    # The user's own file: tomllib takes quadratic time for keys of thousands of parts.
    Target("config.toml", _CONFIG_TOML, _config, (b"jobs = ", b"key = ", b"[table]", b'"""', b"1979-05-27"), most=4096),
    Target("damaged-journals", _damage(), _damaged, most=4096),
    Target("journals-rows", _ROWS, _rows, (b'"uploads"', b'"hosts"', b'"files"', b'"pushes"', b"[[", b"]]")),
    Target("orders", _ORDERS, pure(_order), (b'"chunk_size":', b'"allow_realms":', b'"dialect":', b'"key":')),
    Target("layouts", (LIST,), _layout, (b'"annotations"',)),
    Target("archives", _ARCHIVES, _archive, (b"\x80", b"././@PaxHeader", b" path=", b" size=", b"../", b"ustar")),
    Target("stores", MANIFESTS, _store, (b'"layers"', b'"manifests"', b'"digest"')),
)
