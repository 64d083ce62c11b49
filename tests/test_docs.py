"""What the documents tell people to type is there: targets, files, variables, the cluster's names, pipelines, modes.

And the commands are understood: each is read by the program that would do it, up to where its work begins.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import os
import re
import shlex
import subprocess
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

import pipelines.package
import pipelines.run_local
import pipelines.submit
import yolocore.gitops.__main__ as gitops
import yolocore.modes
from pipelines import PIPELINES
from pipelines.package import COMPILED
from pipelines.run_local import run
from pipelines.submit import read_submission, submit
from tests.manifests.conftest import MANIFESTS, RENDERED, render
from tests.manifests.rules import values
from tests.manifests.schemas import problems
from yolocore.cli import COMMANDS, main
from yolocore.config import MODES

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]

# What belongs to others, as the pages call it.
FOREIGN_VARIABLES = {"UV_TORCH_BACKEND"}  # of uv
FOREIGN_OBJECTS = {"service/ml-pipeline-ui"}  # of Kubeflow Pipelines
FOREIGN_PATHS = re.compile(
    r"""[\w-]+(\.[\w-]+)+/.*          # hosts: github.com/…, and groups of kinds: nvidia.com/gpu
    |(localhost|registry)/.*|crd/.*   # images; kinds
    |\.venv/.*                        # environments
    |(data|runs|export|sbom|packages|deployed)/.*       # what people bring, and what steps make""",
    re.VERBOSE,
)

SECRET_REFERENCES = ("secretKeyRef", "authSecret", "webhookSecret")

Found = tuple[str, str]  # what kind of name, the name


def written(text: str) -> str:
    """A page's code: its blocks of commands, and what stands between backquotes."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE))
    return "\n".join([*map(textwrap.dedent, blocks), *(" ".join(span.split()) for span in spans)])


def names(text: str) -> Iterator[Found]:
    """Every name in a page's code that has to be somewhere."""
    code = written(text)
    commands = re.sub(r"#.*", "", code)
    for words in re.findall(r"(?m)(?:^|&& |\w=\w+ )make((?: [a-z][a-z-]*)+)", commands):
        yield from (("target", word) for word in words.split())
    for word in re.findall(r"(?<![\w:/.@$-])\.?[\w-][\w.-]*(?:/[\w.-]+)+", code):
        yield ("object" if word.startswith(("service/", "deployment/")) else "path"), word
    own = set(re.findall(r"(?m)^export (\w+)=", code)) & set(re.findall(r"\$(\w+)", code))
    variables = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", code)) | set(re.findall(r"\b([A-Z]{3,})=", code))
    yield from (("variable", word) for word in variables - own)
    for word, rest in re.findall(r"create secret generic (\S+)((?: |\\\n|--from-literal=\S+)*)", code):
        yield from (("secret", f"{word} {key}") for key in re.findall(r"--from-literal=([\w-]+)=", rest))
    yield from (("map", word) for word in re.findall(r"configmap ([\w-]+)", code))
    yield from (("image", word) for word in re.findall(r"\byolocore-python-([a-z]+)", code))
    # Other things of ours that have the project's name in theirs are objects of the cluster.
    yield from (("ours", word) for word in re.findall(r"(?<![\w/-])yolocore-(?!python-)[a-z-]+", code))
    yield from (("pipeline", word) for word in re.findall(r"\b(?:PIPELINE|pipeline)=(\w+)", code))
    for keys in re.findall(r'KEYS="([^"]*)"', code):
        yield from (("key", word) for word in re.findall(r"(\w+)=", keys))
    said = re.sub(r".*: error: .*", "", code)  # what a program says of a wrong word has it
    sections = "|".join(sorted({parameter.partition("_")[0] for parameter in form()}))
    yield from (("key", word) for word in re.findall(rf"(?<![\w./-])(?:{sections})_[a-z][a-z_]*", said))
    yield from (("mode", word) for word in re.findall(r"(?m)(?:^|/)yolo ([a-z]+)\b", commands))
    yield from (("link", word) for word in re.findall(r"\]\(([^):#]+)", text))


@functools.cache
def form() -> frozenset[str]:
    """Parameters of all pipelines' forms."""
    specs = [next(yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text("utf-8"))) for name in PIPELINES]
    return frozenset(name for spec in specs for name in spec["root"]["inputDefinitions"]["parameters"])


@functools.cache
def sources() -> str:
    """All that reads or sets a variable."""
    folders = ("yolocore", "pipelines", "components", "manifests", "containers", "tests")
    suffixes = (".py", ".yaml", ".env", "Containerfile", "install")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.name.endswith(suffixes)]
    return "\n".join(path.read_text("utf-8") for path in [ROOT / "Makefile", *files] if path != Path(__file__))


@functools.cache
def cluster() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """What manifests and compiled pipelines have or ask for: objects, keys of secrets, and maps."""
    documents = [document for name in RENDERED for document in render(MANIFESTS / name)]
    compiled = [page for name in PIPELINES for page in yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text())]
    objects = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in documents}
    references = [each for document in documents for key in SECRET_REFERENCES for each in values(document, key)]
    secrets = {f"{each['name']} {each['key']}" for each in references}
    for asked in (each for page in compiled for each in values(page, "secretAsEnv")):
        secrets |= {f"{each['secretName']} {key['secretKey']}" for each in asked for key in each["keyToEnv"]}
    maps = {each["configMapName"] for page in compiled for asked in values(page, "configMapAsEnv") for each in asked}
    return frozenset(objects), frozenset(secrets), frozenset(maps & {name.partition("/")[2] for name in objects})


def is_target(word: str) -> bool:
    return re.search(rf"(?m)^{re.escape(word)}:", (ROOT / "Makefile").read_text("utf-8")) is not None


def is_path(word: str) -> bool:
    places = (ROOT, ROOT / "manifests", ROOT / "yolocore")
    return bool(FOREIGN_PATHS.fullmatch(word)) or any((place / word).exists() for place in places)


def is_variable(word: str) -> bool:
    return word in FOREIGN_VARIABLES or re.search(rf"\b{word}\b", sources()) is not None


def is_key(word: str) -> bool:
    commands = {name for function in (submit, read_submission, run) for name in inspect.signature(function).parameters}
    return word in form() | (commands - {"keys"}) | {"params"}


KNOWN: dict[str, Callable[[str], bool]] = {
    "target": is_target,
    "path": is_path,
    "variable": is_variable,
    "object": lambda word: word in cluster()[0] | FOREIGN_OBJECTS,
    "secret": lambda word: word in cluster()[1],
    "map": lambda word: word in cluster()[2],
    "image": lambda word: (ROOT / "containers" / word).is_dir(),
    "ours": lambda word: any(name.partition("/")[2] == word for name in cluster()[0]),
    "pipeline": lambda word: word in PIPELINES,
    "key": is_key,
    "mode": lambda word: word in {*MODES, *COMMANDS, "MODE"},
    "link": lambda word: (ROOT / word).exists() or (ROOT / "docs" / word).exists(),
}


def unknown(text: str) -> list[Found]:
    return sorted({(kind, word) for kind, word in names(text) if not KNOWN[kind](word)})


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page: str) -> None:
    assert unknown((ROOT / page).read_text("utf-8")) == []


WRONG = [
    pytest.param("`make submitt`", ("target", "submitt"), id="target"),
    pytest.param("```sh\nUV_TORCH_BACKEND=cpu make runs\n```\n", ("target", "runs"), id="target behind a variable"),
    pytest.param("`make images server`", ("target", "server"), id="second target"),
    pytest.param("`manifest/candidate`", ("path", "manifest/candidate"), id="folder"),
    pytest.param("`pipelines/compiled/train.yaml`", ("path", "pipelines/compiled/train.yaml"), id="file"),
    pytest.param("`YOLO_STORAGE=s3://b/p`", ("variable", "YOLO_STORAGE"), id="variable"),
    pytest.param("`make sign REGISTER=…`", ("variable", "REGISTER"), id="variable of make"),
    pytest.param(
        "```sh\nkubectl create secret generic s3 --from-literal=access_key=…\n```\n",
        ("secret", "s3 access_key"),
        id="key",
    ),
    pytest.param(
        "```sh\nkubectl create secret generic s4 \\\n  --from-literal=access-key=…\n```\n",
        ("secret", "s4 access-key"),
        id="secret",
    ),
    pytest.param("`kubectl edit configmap services`", ("map", "services"), id="map that no step asks for"),
    pytest.param("`yolocore-service`", ("ours", "yolocore-service"), id="map"),
    pytest.param("`docker push yolocore-python-training:0.1.0`", ("image", "training"), id="image"),
    pytest.param("`deployment/candidate`", ("object", "deployment/candidate"), id="deployment"),
    pytest.param("`make submit PIPELINE=retrain`", ("pipeline", "retrain"), id="pipeline"),
    pytest.param('`KEYS="train_epoch=3"`', ("key", "train_epoch"), id="parameter of a form"),
    pytest.param('`KEYS="parameters=params.yaml"`', ("key", "parameters"), id="key of the command"),
    pytest.param("`gate_min_gain`", ("key", "gate_min_gain"), id="field"),
    pytest.param("`yolo detect source=a.jpg`", ("mode", "detect"), id="mode"),
    pytest.param("1. so\n\n   ```sh\n   make runs\n   ```\n", ("target", "runs"), id="command in a list"),
    pytest.param("[there](docs/cluster.md)", ("link", "docs/cluster.md"), id="link"),
]


@pytest.mark.parametrize(("text", "found"), WRONG)
def test_a_wrong_word_is_found(text: str, found: Found) -> None:
    assert unknown(text) == [found]


def test_every_kind_of_name_is_looked_for_and_found() -> None:
    """A pattern that matches nothing any more would check nothing."""
    text = "\n".join((ROOT / page).read_text("utf-8") for page in PAGES)
    assert {kind for kind, _ in names(text)} == set(KNOWN)


def applied(text: str) -> list[Any]:
    """The documents that a page's commands apply as they stand there."""
    found = re.findall(r"kubectl apply --filename - <<EOF\n(.*?)^EOF$", written(text), re.DOTALL | re.MULTILINE)
    return [document for documents in found for document in yaml.safe_load_all(documents)]


@pytest.mark.parametrize("page", ["docs/kubeflow.md", "docs/gitops.md"])
def test_documents_of_a_page_have_the_schema_of_their_kind(page: str) -> None:
    documents = applied((ROOT / page).read_text("utf-8"))
    assert documents
    assert [line for document in documents for line in problems(document)] == []


def test_a_document_that_has_not_is_found() -> None:
    (document,) = applied(
        "- so:\n\n  ```sh\n  kubectl apply --filename - <<EOF\n  {apiVersion: v1, kind: Pot}\n  EOF\n  ```\n"
    )
    assert problems(document)


class Reached(BaseException):
    """A command was understood: here its work would begin."""


def reached(*_: Any, **__: Any) -> NoReturn:
    raise Reached


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every program reads its words as ever, and then does nothing."""
    understood = pipelines.run_local.read_pipeline
    monkeypatch.chdir(ROOT)  # where params.yaml is
    monkeypatch.delenv("GIT_URL", raising=False)
    monkeypatch.setattr(pipelines.run_local, "read_pipeline", lambda **keys: reached(understood(**keys)))
    monkeypatch.setattr(pipelines.submit, "_connect", reached)
    monkeypatch.setattr(pipelines.package, "storage_errors", reached)
    monkeypatch.setattr(yolocore.modes, "run", reached)
    for work in ("serve.server.serve_forever", "modes.deploy.rollback", "model.checkpoint.load_weights"):
        monkeypatch.setattr(f"yolocore.{work}", reached)
    monkeypatch.setattr(gitops, "COMMANDS", {name: (reached, *keys) for name, (_, *keys) in gitops.COMMANDS.items()})


MAINS: dict[str, Callable[[Sequence[str]], int]] = {
    "pipelines.package": pipelines.package.main,
    "pipelines.run_local": pipelines.run_local.main,
    "pipelines.submit": pipelines.submit.main,
    "yolocore.gitops": gitops.main,
    "yolo": main,
}


def typed(text: str) -> list[str]:
    """The commands of a page that are ours and have words: `make …`, `yolo MODE key=value`, `python -m … key=value`."""
    code = re.sub(r"(?m)(^|\s)#.*", "", re.sub(r" *\\\n *", " ", written(text)))
    ours = "|".join(
        [
            r"make(?: [a-z-]+| \w+=(?:\"[^\"]*\"|\S+))+",
            r"yolo [a-z]+(?: \w+=\S*)+",
            r"python -m (?:pipelines|yolocore)\.\w+(?: \S+)+",
        ]
    )
    return re.findall(rf"(?m)(?:^|&& |/)(?:\w+=\S+ )*({ours}) *$", code)


def started(command: str) -> Iterator[list[str]]:
    """What a command starts of ours: the program and its words; of make, of all the lines of its recipes."""
    words = shlex.split(command)
    if words[0] == "make":
        dry = subprocess.run(
            ["make", "--dry-run", "--no-print-directory", *words[1:]],
            env=os.environ | {"UV_FIND_LINKS": ""},  # spares asking pip for them
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert dry.returncode == 0, dry.stderr
        for line in re.findall(r"(?m)bin/(python -m (?:pipelines|yolocore)\..*=.*)$", dry.stdout):
            yield from started(line)
    else:
        yield words[2:] if words[0] == "python" else words


def refusal(command: str) -> str:
    """The line with which one of our programs refuses a command; empty where all of them take it."""
    for program, *words in started(command):
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                MAINS[program](words)
        except Reached:
            continue
        return said.getvalue().strip()
    return ""


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_are_understood(page: str) -> None:
    told = {command: refusal(command) for command in typed((ROOT / page).read_text("utf-8"))}
    assert {command: line for command, line in told.items() if line} == {}


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("command", "line"),
    [
        ('make run-kfp-local KEYS="params=params.yaml"', "params= is given twice"),
        ('make run-kfp-local KEYS="runner=podman"', "unknown runner 'podman'"),
        ('make submit KEYS="train_epochs=many" REGISTRY=registry.example/team', "epochs='many'"),
        ("make submit PIPELINE=evaluation", "evaluation_model= is missing"),
        ('make schedule CRON="0 2 * * *"', "has six fields"),
        ("yolo train data=demo epoch=3", "unknown key 'epoch'"),
        ("yolo convert model=best.pt", "out= is missing"),
        ("yolo rollback nam=detector", "unknown key 'nam'"),
        ("python -m yolocore.gitops promote url=https://git.example.com digest=sha256:00", "file= is missing"),
        ("python -m pipelines.package registery=a", "unknown key 'registery'"),
    ],
)
def test_a_command_that_nobody_understands_is_found(command: str, line: str) -> None:
    assert typed(f"`{command}`") == [command]
    assert line in refusal(command)


def test_a_command_may_go_on_in_the_next_line() -> None:
    text = "so `yolo convert model=a.pt\nout=b.pt` does\n\n```sh\nmake package \\\n  REGISTRY=a\n```\n"
    assert [command.split() for command in typed(text)] == [
        ["make", "package", "REGISTRY=a"],
        ["yolo", "convert", "model=a.pt", "out=b.pt"],
    ]


def test_a_target_that_is_not_there_is_found() -> None:
    with pytest.raises(AssertionError, match="No rule to make target"):
        list(started("make submitt REGISTRY=a"))


def test_every_program_is_asked_by_some_page() -> None:
    pages = "\n".join((ROOT / page).read_text("utf-8") for page in PAGES)
    assert {program for command in typed(pages) for program, *_ in started(command)} == set(MAINS)
