"""What the documents tell people to type is there: targets, files, variables, the cluster's names, pipelines, modes."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from pipelines import PIPELINES
from pipelines.package import COMPILED
from pipelines.run_local import run
from pipelines.submit import read_submission, submit
from tests.manifests.conftest import MANIFESTS, RENDERED, render
from tests.manifests.rules import values
from yolocore.cli import COMMANDS
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
    |(data|runs|export|sbom|packages)/.*       # what people bring, and what steps make""",
    re.VERBOSE,
)

SECRET_REFERENCES = ("secretKeyRef", "authSecret", "webhookSecret")

Found = tuple[str, str]  # what kind of name, the name


def names(text: str) -> Iterator[Found]:
    """Every name in a page's code that has to be somewhere."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    code = "\n".join([*blocks, *spans])
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
    pytest.param("[there](docs/cluster.md)", ("link", "docs/cluster.md"), id="link"),
]


@pytest.mark.parametrize(("text", "found"), WRONG)
def test_a_wrong_word_is_found(text: str, found: Found) -> None:
    assert unknown(text) == [found]


def test_every_kind_of_name_is_looked_for_and_found() -> None:
    """A pattern that matches nothing any more would check nothing."""
    text = "\n".join((ROOT / page).read_text("utf-8") for page in PAGES)
    assert {kind for kind, _ in names(text)} == set(KNOWN)
