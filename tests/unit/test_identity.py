"""The ed25519 key, with ssh-keygen for a second opinion."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from registry_push.auth import identity as module
from registry_push.auth.identity import Identity, default_key_path, mode_warning
from registry_push.errors import InvalidKey, KeyNotFound, UsageError
from tests.support.peers import require

KEYS = Path(__file__).parents[2] / "fixtures" / "keys"
root_only = pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can become another user")


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that other users can look into; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def ssh_keygen(*arguments: str | Path) -> str:
    done = subprocess.run([require("ssh-keygen"), *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_fixture_key_reads_as_its_public_half_says() -> None:
    identity = Identity.load(KEYS / "id_ed25519")
    assert (KEYS / "id_ed25519.pub").read_text().startswith(identity.public_line + " ")
    assert len(identity.public_wire) == 51


def test_a_signature_verifies() -> None:
    identity = Identity.load(KEYS / "id_ed25519")
    signature = identity.sign(b"GET,https://h/,x")
    assert len(signature) == 64
    Ed25519PublicKey.from_public_bytes(identity.public_wire[-32:]).verify(signature, b"GET,https://h/,x")


@pytest.mark.real
def test_a_key_of_ssh_keygen_reads_the_same_to_us(tmp_path: Path) -> None:
    path = tmp_path / "key"
    ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f", path)
    identity = Identity.load(path)
    assert identity.public_line == " ".join((tmp_path / "key.pub").read_text().split()[:2])
    assert identity.fingerprint == ssh_keygen("-lf", path).split()[1]


@pytest.mark.real
def test_a_key_of_ours_reads_the_same_to_ssh_keygen(tmp_path: Path) -> None:
    path = tmp_path / "key"
    identity = Identity.create(path)
    assert ssh_keygen("-y", "-f", path) == identity.public_line
    assert ssh_keygen("-lf", tmp_path / "key.pub").split()[1] == identity.fingerprint


@pytest.mark.real
def test_ssh_keygen_accepts_our_signature(tmp_path: Path) -> None:
    # SSHSIG (PROTOCOL.sshsig in OpenSSH) signs a text around a hash of the message; ours signs that very text.
    identity = Identity.load(KEYS / "id_ed25519")

    def field(content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + content

    head = field(b"file") + field(b"") + field(b"sha512")
    signature = identity.sign(b"SSHSIG" + head + field(hashlib.sha512(b"message").digest()))
    blob = b"SSHSIG" + (1).to_bytes(4, "big") + field(identity.public_wire) + head
    blob += field(field(b"ssh-ed25519") + field(signature))
    lines = textwrap.wrap(base64.b64encode(blob).decode(), 70)
    (tmp_path / "sig").write_text(
        "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])
    )
    done = subprocess.run(
        [require("ssh-keygen"), "-Y", "check-novalidate", "-n", "file", "-s", str(tmp_path / "sig")],
        input=b"message",
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert identity.fingerprint.encode() in done.stdout


def test_a_created_key_loads_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "home" / ".ollama" / "id_ed25519"
    identity = Identity.create(path)
    assert Identity.load(path).public_wire == identity.public_wire
    assert path.with_name("id_ed25519.pub").read_text() == identity.public_line + "\n"
    modes = [file.stat().st_mode & 0o777 for file in (path, path.with_name("id_ed25519.pub"), path.parent)]
    assert modes == [0o600, 0o644, 0o700]
    assert mode_warning(path) is None


@pytest.mark.parametrize("present", ["id_ed25519", "id_ed25519.pub"])
def test_nothing_is_overwritten(tmp_path: Path, present: str) -> None:
    (tmp_path / present).write_text("precious")
    with pytest.raises(UsageError, match=f"{present} is there already"):
        Identity.create(tmp_path / "id_ed25519")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(present, "precious")]


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        Identity.create(tmp_path / "key")
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        Identity.create(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path / "key", tmp_path / "no" / "folder" / "key", KEYS / "id_ed25519" / "below"):
        with pytest.raises(KeyNotFound) as caught:
            Identity.load(path)
        assert (caught.value.exit_code, caught.value.hint) == (3, f"create one: registry-push key create --key {path}")


def write(path: Path, key: object, private_format: PrivateFormat, passphrase: bytes = b"") -> Path:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, private_format, encryption))  # type: ignore[attr-defined]
    return path


def test_a_passphrase_is_named_as_the_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "key", Ed25519PrivateKey.generate(), PrivateFormat.OpenSSH, b"secret")
    with pytest.raises(InvalidKey, match="has a passphrase") as caught:
        Identity.load(path)
    assert caught.value.exit_code == 4


def test_another_type_is_named_as_the_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "key", generate_private_key(SECP256R1()), PrivateFormat.OpenSSH)
    with pytest.raises(InvalidKey, match="no ed25519 key"):
        Identity.load(path)


def test_another_format_and_garbage_are_no_keys(tmp_path: Path) -> None:
    good = (KEYS / "id_ed25519").read_bytes()
    lines = good.splitlines()
    spoilt = [
        write(tmp_path / "pkcs8", Ed25519PrivateKey.generate(), PrivateFormat.PKCS8).read_bytes(),
        (KEYS / "id_ed25519.pub").read_bytes(),
        b"",
        b"\x00\xff" * 200,
        good[: len(good) // 2],
        b"\n".join([lines[0], *lines[2:]]),
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n!!!!\n-----END OPENSSH PRIVATE KEY-----\n",
        good + b" " * 70_000,
    ]
    for content in spoilt:
        (tmp_path / "key").write_bytes(content)
        with pytest.raises(InvalidKey):
            Identity.load(tmp_path / "key")


def test_a_pipe_is_no_key_and_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    with pytest.raises(InvalidKey, match="is a pipe"):
        Identity.load(tmp_path / "key")
    with pytest.raises(InvalidKey, match="is a folder"):
        Identity.load(tmp_path)


@root_only
def test_a_key_of_somebody_else_says_whose(public_folder: Path) -> None:
    (public_folder / "key").write_bytes((KEYS / "id_ed25519").read_bytes())
    (public_folder / "key").chmod(0o600)
    script = f"""
import os
from pathlib import Path
from registry_push.errors import Unreadable
from registry_push.auth.identity import Identity
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    Identity.load(Path({str(public_folder / "key")!r}))
except Unreadable as error:
    print(error.exit_code, error, "|", error.hint)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=KEYS.parents[1])
    expected = f"4 the key can't be read: {public_folder / 'key'} belongs to root"
    assert done.stdout.startswith(expected), done.stderr
    assert "sudo -u root" in done.stdout


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_mode_that_ssh_would_refuse_is_warned_of(tmp_path: Path, mode: int, warned: bool) -> None:
    (tmp_path / "key").write_bytes(b"x")
    (tmp_path / "key").chmod(mode)
    warning = mode_warning(tmp_path / "key")
    assert (warning is not None) is warned
    assert warning is None or f"{mode:04o}" in warning


@pytest.mark.real
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604, 0o700])
def test_ssh_draws_the_same_line(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_bytes((KEYS / "id_ed25519").read_bytes())
    path.chmod(mode)
    done = subprocess.run([require("ssh-keygen"), "-y", "-f", str(path)], capture_output=True)
    assert (done.returncode != 0) is (mode_warning(path) is not None)


@root_only
def test_the_mode_of_another_users_key_is_their_business(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"x")
    (tmp_path / "key").chmod(0o644)
    os.chown(tmp_path / "key", 65534, 65534)
    assert mode_warning(tmp_path / "key") is None
    assert mode_warning(tmp_path / "absent") is None


def test_the_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = tmp_path / "service"
    monkeypatch.setattr(module, "_SERVICE_KEY", service)
    own = tmp_path / ".ollama" / "id_ed25519"
    assert default_key_path(tmp_path) == own
    service.write_text("key")
    assert default_key_path(tmp_path) == service
    own.parent.mkdir()
    own.write_text("key")
    assert default_key_path(tmp_path) == own


def test_its_text_hides_the_key() -> None:
    assert "private" not in repr(Identity.load(KEYS / "id_ed25519"))
