"""Every command in the README and the guides works as it stands there, but for the names of hosts and accounts."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

import registry_push
from registry_push.embedded.sample import write_sample_store
from registry_push.settings import Settings
from registry_push.verbs.push import push
from registry_push.verbs.sync.plan_reader import read_plan
from registry_push.verbs.sync.plan_text import PlanText
from tests.support import leaks
from tests.support.peers import require
from tests.support.registries import DockerRegistry, docker_registry_at, free_port
from tests.support.secrets import PASSWORD
from tests.support.tls import self_signed

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = (ROOT / "README.md", *sorted((ROOT / "registry_push" / "guides").glob("*.md")))
_BLOCK: Final = re.compile(r"^(?:<!-- (\w+) -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What stands for a user's own host or name.
_HOSTS: Final = (
    "registry.example.com", "harbor.example.com", "localhost:5000", "ghcr.io", "docker.io", "COMPANY.jfrog.io",
    "ACCOUNT.dkr.ecr.REGION.amazonaws.com", "REGION-docker.pkg.dev", "old.example.com",
)  # fmt: skip
# The guide to migration, and what stands for the registry to which things are moved there.
_OF_TWO_REGISTRIES: Final = Path("guides/migration.md").name
_NEW_HOST: Final = "new.example.com"
_NAMES: Final = {"OWNER/": "me/", "PROJECT/": "project/", "REPOSITORY/": "repository/"}
_MODELS: Final = ("llama3.2:3b", "me/tuned:v2", "me/model:v2")
_SECRETS: Final = ("TOKEN", "GITHUB_TOKEN", "DOCKER_TOKEN", "HARBOR_SECRET", "CI_JOB_TOKEN", "ARTIFACTORY_TOKEN")
_PLAN: Final = '[[sync]]\nsource = "registry:old.example.com/ml/"\ntarget = "registry:new.example.com/"\n'
# They install the package, from wherever it is: CI does that with the README's two commands.
_INSTALLS: Final = ("uv tool install", "pipx install", "pip install")
# They belong to a cloud's own client. What it prints is a password.
_CLOUD_CLIENTS: Final = ("aws", "gcloud")


class Block(Struct, frozen=True):
    """A fenced block of a document: its language, and its text."""

    document: str
    line: int
    language: str
    text: str

    @property
    def script(self) -> str:
        """What a reader would type, for bash."""
        match self.language:
            case "sh":
                lines = self.text.splitlines()
            case "console":
                lines = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
            case "yaml":
                lines = re.findall(r"run: (.*)$", self.text, re.MULTILINE)
            case _:
                lines = []
        return "\n".join(line for line in lines if not any(each in line for each in _INSTALLS))


def _blocks() -> list[Block]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in _BLOCK.finditer(text):
            if match[1] is None:  # a marked one is run by CI as it is
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(document.name, line, match[2], match[3]))
    return found


BLOCKS: Final = _blocks()


def test_the_documents_have_the_blocks_that_are_tried() -> None:
    assert {block.document for block in BLOCKS} >= {"README.md", "signing-in.md", "resuming.md", "registries.md"}
    assert sum("registry-push" in block.script for block in BLOCKS) > 15
    assert {block.language for block in BLOCKS} <= {"sh", "console", "python", "yaml", "json", "toml", "text", "ini"}


class Stage(Struct, frozen=True):
    """A folder with a store, and a registry in place of everyone's; `new` is another one."""

    folder: Path
    host: str
    port: int
    new: str

    def played(self, text: str) -> str:
        """`text` with this stage's host and names."""
        text = text.replace(_NEW_HOST, self.new)
        for host in _HOSTS:
            text = text.replace(host, self.host)
        for name, here in _NAMES.items():
            text = re.sub(rf"(?<![$]){name}", here, text)
        return re.sub(r"--username \S+", "--username me", text).replace("11435", str(self.port))

    def environment(self) -> dict[str, str]:
        """A new user's: nothing but what the documents name."""
        programs = os.pathsep.join((str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]))
        return {
            "HOME": str(self.folder),
            "PATH": programs,
            "OWNER": "me",
            "ARTIFACTORY_USER": "me",
            "CI_REGISTRY_IMAGE": f"{self.host}/group/image",
            **dict.fromkeys(_SECRETS, PASSWORD),
        }


def staged(folder: Path, host: str, new: str = "") -> Stage:
    """The store has all models that the documents speak of, the folder the plan."""
    stage = Stage(folder, host, free_port(), new)
    (folder / "plan.toml").write_text(stage.played(_PLAN))
    for name in (*_MODELS, f"{host}/ml/tiny"):
        write_sample_store(folder / ".ollama" / "models", name=name, weights=100_000)
    (folder / "bin").mkdir()
    for client in _CLOUD_CLIENTS:
        script = folder / "bin" / client
        script.write_text(f"#!/bin/sh\ncase \"$*\" in *-password|*-access-token) echo '{PASSWORD}' ;; esac\n")
        script.chmod(0o700)
    return stage


@pytest.mark.real
@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.script.strip() and block.document != _OF_TWO_REGISTRIES],
    ids=lambda block: f"{block.document}:{block.line}",
)
async def test_every_command_works_as_it_stands(
    block: Block, docker_registry: DockerRegistry, docker_registry_htpasswd: DockerRegistry, tmp_path: Path
) -> None:
    for program in ("curl", "jq"):
        if f"{program} " in block.script:
            require(program)
    if "--ca-file ca.pem" in block.script:
        certificate = self_signed(tmp_path)
        (tmp_path / "registry").mkdir()
        with docker_registry_at(tmp_path / "registry", tls=certificate) as registry:
            (tmp_path / "ca.pem").write_bytes(certificate.cert.read_bytes())
            await _run(block, staged(tmp_path, registry.host))
    elif "copy registry:localhost:5000/ " in block.script:  # a registry as a whole: one that no other test has filled
        (tmp_path / "registry").mkdir()
        with docker_registry_at(tmp_path / "registry") as registry:
            stage = staged(tmp_path, registry.host)
            await _push(stage)
            await _run(block, stage)
    else:
        registry = docker_registry_htpasswd if "--username" in block.script else docker_registry
        stage = staged(tmp_path, registry.host)
        if registry is docker_registry:
            await _push(stage)
        await _run(block, stage)


@pytest.mark.real
@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.script.strip() and block.document == _OF_TWO_REGISTRIES],
    ids=lambda block: f"{block.document}:{block.line}",
)
async def test_every_command_about_two_registries_works_as_it_stands(
    block: Block, docker_registry: DockerRegistry, tmp_path: Path
) -> None:
    if "jq " in block.script:
        require("jq")
    (tmp_path / "new").mkdir()
    with docker_registry_at(tmp_path / "new") as new:
        stage = staged(tmp_path, docker_registry.host, new.host)
        await _push(stage)
        await _run(block, stage)


async def _push(stage: Stage) -> None:
    """Push what the documents pull and copy, as another block has it: each block works without the others."""
    settings = Settings(models=stage.folder / ".ollama" / "models", home=stage.folder, state_dir=None)
    assert (await push(["llama3.2:3b"], to=f"{stage.host}/ml/", settings=settings)).error is None


async def _run(block: Block, stage: Stage) -> None:
    # Whoever types has waited for the service to listen before the next line.
    listens = f"until curl -fs http://localhost:{stage.port}/healthz >/dev/null; do :; done"
    script = re.sub(r"&$", f"&\n{listens}", stage.played(block.script), flags=re.MULTILINE)
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}",
        cwd=stage.folder, env=stage.environment(), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    leaks.current().note("what a documented command printed", out.decode())
    assert process.returncode == 0, f"{script}\n{out.decode()}"


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.language == "toml" and "[[sync]]" in block.text],
    ids=lambda block: f"{block.document}:{block.line}",
)
def test_every_plan_can_be_read(block: Block) -> None:
    assert read_plan(PlanText.parse(block.document, block.text)).entries


@pytest.mark.real
@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.language == "python"],
    ids=lambda block: f"{block.document}:{block.line}",
)
async def test_the_python_works_as_it_stands(
    block: Block, docker_registry: DockerRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = staged(tmp_path, docker_registry.host)
    script = tmp_path / "script.py"
    body, lines = list[str](), list[str]()
    for line in stage.played(block.text).splitlines():
        (lines if "_sync(" in line or line.startswith("import") else body).append(line)
    indented = "\n".join(f"    {line}" for line in body if line) or "    pass"
    imports = "\n".join(line for line in lines if line.startswith("import"))
    plain = "\n".join(line for line in lines if not line.startswith("import"))
    script.write_text(f"import asyncio\n{imports}\nasync def main():\n{indented}\nasyncio.run(main())\n{plain}\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), cwd=stage.folder,
        env={**stage.environment(), "PYTHONPATH": str(Path(registry_push.__path__[0]).parent)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


def test_guides_that_are_named_are_there() -> None:
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    named = {*re.findall(r"registry-push help ([a-z][a-z-]+)", text), *re.findall(r"guides/([a-z-]+)\.md", text)}
    assert named <= {document.stem for document in DOCUMENTS}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) < 1400
