"""The shape of the package: imports go down one way, and importing does nothing else."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS = {
    0: ["ant_config", "config", "errors", "flow", "frames", "norm", "palette_file", "runtime", "sharding", "warp"],
    1: [
        "alignment",
        "ant",
        "ant_crops",
        "backdrop",
        "blocks",
        "checkpoint",
        "compositing",
        "exact_fill",
        "holds",
        "layer_files",
        "layers",
        "line_learning",
        "line_networks",
        "line_style",
        "lines",
        "matching",
        "motion",
        "outlines",
        "pan",
        "proposals",
        "published_weights",
        "raft",
        "region_colors",
        "region_pooling",
        "segments",
        "settling",
        "sheet",
        "shot",
        "similarity",
        "video",
        "weights",
    ],
    2: ["conditions", "data", "staging"],
    3: [
        "adapters",
        "ant_losses",
        "ant_pictures",
        "evidence",
        "heads",
        "model",
        "ranking",
        "reference_encoder",
        "sampler",
        "unet",
    ],
    4: ["losses", "metrics", "pipeline"],
    5: ["confidence", "objectives", "painting", "region_pipelines", "report", "results", "tasks"],
    6: ["trainer"],
    7: ["cli", "recolor"],
}
"""A module may import from its own layer and from those before it, never from a later one."""

NEVER = {
    "adapters": {"unet"},  # they meet in the model only
    "unet": {"adapters"},
    "metrics": {"model", "adapters", "unet", "pipeline"},  # a score must not depend on what it judges
    "trainer": {"losses", "adapters"},  # it prepares, steps and saves; the objective knows the rest
}

LAYER_OF = {module: layer for layer, modules in LAYERS.items() for module in modules}


def modules():
    """(name within the package, file) of each module; a subpackage's modules count as the subpackage."""
    for file in sorted((ROOT / "opdm").rglob("*.py")):
        parts = file.relative_to(ROOT / "opdm").with_suffix("").parts
        if parts != ("__init__",):
            yield parts[0], file


def imports(file):
    """Dotted names below `opdm` that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("opdm.") for alias in node.names if alias.name.startswith("opdm."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: write `from opdm...` instead of a relative import"
            if node.module == "opdm":
                yield from (alias.name for alias in node.names)
            elif node.module and node.module.startswith("opdm."):
                yield node.module.removeprefix("opdm.")


def dependencies():
    graph = {}
    for name, file in modules():
        graph.setdefault(name, set()).update(target.split(".")[0] for target in imports(file))
    return {name: targets - {name} for name, targets in graph.items()}


def test_every_module_has_a_layer():
    unplaced = sorted({name for name, _ in modules()} - set(LAYER_OF))
    assert not unplaced, f"add {', '.join(unplaced)} to LAYERS in {Path(__file__).name}"


def test_imports_never_go_up():
    upward = [
        f"opdm.{name} (layer {LAYER_OF[name]}) imports opdm.{target} (layer {LAYER_OF[target]})"
        for name, targets in dependencies().items()
        for target in sorted(targets)
        if name in LAYER_OF and LAYER_OF.get(target, -1) > LAYER_OF[name]
    ]
    assert not upward, "\n".join(upward)


def test_imports_make_no_circle():
    try:
        TopologicalSorter(dependencies()).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(f"opdm.{name}" for name in reversed(error.args[1])))


def test_what_must_not_meet_does_not():
    met = [
        f"opdm.{name} imports opdm.{target}"
        for name, targets in NEVER.items()
        for target in targets
        if target in dependencies().get(name, set())
    ]
    assert not met, "\n".join(met)


def run_python(program, *arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("module", ["opdm", "opdm.config", "opdm.cli", "configs"])
def test_help_needs_no_torch(module):
    program = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)"
    finished = run_python(program, module)
    assert finished.returncode == 0, finished.stderr
    heavy = {"torch", "diffusers", "cv2", "numpy"} & set(finished.stdout.split())
    assert not heavy, f"importing {module} imports {', '.join(sorted(heavy))}"


OBSERVE_IMPORTS = """
import importlib, logging, os, pathlib, socket, sys

root, *names = sys.argv[1:]
sys.path.insert(0, root)
import accelerate, cv2, diffusers, numpy, torch, torchvision, tqdm

def state():
    return {
        "threads": torch.get_num_threads(),
        "default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32),
        "torch random state": torch.random.get_rng_state().tolist(),
        "numpy random state": numpy.random.get_state()[1].tolist(),
        "opencv threads": cv2.getNumThreads(),
        "log handlers": list(logging.getLogger().handlers),
        "log level": logging.getLogger().level,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "files": sorted(pathlib.Path().rglob("*")),
    }

def refuse(*_):
    raise RuntimeError("connects to the network")

socket.socket.connect = refuse
before = state()
for name in names:
    importlib.import_module(name)
    changed = [key for key, value in state().items() if value != before[key]]
    if changed:
        sys.exit(f"importing {name} changes: {', '.join(changed)}")
"""


def test_importing_does_nothing_else(tmp_path):
    files = [file.relative_to(ROOT).with_suffix("") for _, file in modules()]
    names = [".".join(part for part in file.parts if part != "__init__") for file in files]
    finished = run_python(OBSERVE_IMPORTS, str(ROOT), *names, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "", "importing prints"
