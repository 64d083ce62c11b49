"""Imports point one way, heavy libraries stay in their rooms, and importing the package costs nothing."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Rooms from the ground up. A room imports from its own storey and those below it.
STOREYS = [
    {"errors", "progress", "meta", "memory", "termination"},
    {"config"},
    {"store"},
    {"records", "detections", "masks", "boxes", "rotated", "letterbox", "nms", "media", "draw"},
    {"model", "data", "runtimes"},
    {"train", "evaluate", "predict", "export", "benchmark", "track", "serve", "lineage", "tune"},
    {"modes", "views"},
    {"cli", "api", "component", "gitops"},
    {"components"},
    {"pipelines"},
]
STOREY = {room: height for height, rooms in enumerate(STOREYS) for room in rooms}

# Where each heavy library may be imported at all.
HOMES = {
    "torch": {"yolocore/model", "yolocore/train", "yolocore/export", "yolocore/runtimes/torch.py"},
    "numba": {"yolocore/train/kernels.py"},
    "mlflow": {"yolocore/lineage"},
    "optuna": {"yolocore/tune"},
    "kfp": {"components", "pipelines"},
    "kubernetes": {"yolocore/component/cluster.py"},
    "tritonclient": {"yolocore/runtimes/triton.py", "yolocore/serve"},
    "openvino": {"yolocore/export/openvino.py", "yolocore/runtimes/openvino.py"},
    "dvc": set(),
    "ultralytics": set(),
}
HEAVY = (
    "torch",
    "cv2",
    "numpy",
    "numba",
    "mlflow",
    "kfp",
    "kubernetes",
    "dvc",
    "onnxruntime",
    "openvino",
    "tritonclient",
    "boto3",
    "matplotlib",
)

FILES = sorted(path for folder in ("yolocore", "components", "pipelines") for path in (ROOT / folder).rglob("*.py"))


def room(path: Path) -> str:
    """'yolocore/train/loss.py' and 'yolocore/errors.py' → 'train', 'errors'; other packages are rooms themselves."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "yolocore" else parts[0]


def imported(path: Path, *, types: bool = True) -> set[str]:
    """Dotted names of all that a module imports, wherever in it; types: also what only type checkers see."""
    names = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = [ast.Pass()]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_used(path: Path) -> set[str]:
    used = set()
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "yolocore" and len(parts) > 1 and parts[1] in STOREY:
            used.add(parts[1])
        elif parts[0] in ("components", "pipelines"):
            used.add(parts[0])
    return used - {room(path)}


def test_every_room_has_its_storey():
    assert {room(path) for path in FILES} - {"__init__"} <= set(STOREY)


def test_no_room_imports_from_a_storey_above_its_own():
    wrong = [
        f"{path.relative_to(ROOT)} imports {used}"
        for path in FILES
        if room(path) in STOREY
        for used in rooms_used(path)
        if STOREY[used] > STOREY[room(path)]
    ]
    assert not wrong


def test_rooms_do_not_import_in_a_circle():
    graph = defaultdict(set)
    for path in FILES:
        graph[room(path)] |= rooms_used(path)
    left = dict(graph)
    while free := [name for name, used in left.items() if not used & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"in circles: {left}"


@pytest.mark.parametrize("library", HOMES)
def test_a_heavy_library_stays_in_its_rooms(library):
    strays = [
        str(path.relative_to(ROOT))
        for path in FILES
        if any(name.split(".")[0] == library for name in imported(path, types=False))
        and not any(path.is_relative_to(ROOT / home) for home in HOMES[library])
    ]
    assert not strays


def loaded_by(code: str) -> set[str]:
    """The top-level modules in memory after running code in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint('\\n'.join({{name.split('.')[0] for name in sys.modules}}))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import yolocore", id="the package"),
        pytest.param("from yolocore import YOLO", id="the Python door"),
        pytest.param("from yolocore.cli import main; main(['--help'])", id="help"),
        pytest.param("from yolocore.cli import main; main(['train', '--help'])", id="help of a mode"),
        pytest.param("from yolocore.cli import main; main(['train', 'epochs=x'])", id="a mistake"),
        pytest.param("import yolocore.component", id="the component door"),
    ],
)
def test_doors_open_without_heavy_libraries(code):
    assert loaded_by(code).isdisjoint(HEAVY)


@pytest.mark.parametrize("mode", ["ingest", "deploy", "track", "predict", "benchmark", "gate"])
def test_a_mode_that_runs_exported_models_does_without_torch(mode):
    assert loaded_by(f"import yolocore.modes.{mode}").isdisjoint({"torch", "mlflow", "kfp"})
