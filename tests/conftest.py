"""What every test gets."""

import contextlib
import ctypes
import inspect
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from expnet.assets.catalogue import ASSETS
from expnet.assets.registry import locate
from expnet.assets.sadtalker import SadTalkerNetworks
from expnet.audio.speech_encoders.whisper_weights import _BLOCK, WhisperWeights, write_whisper
from expnet.errors import MissingAssetError
from expnet.face.mediapipe_backend import has_solutions
from expnet.face.tracking_models import FETCH, TRACKING_MODELS, locate_model
from expnet.models.coefficient_regressor import CoefficientRegressor
from expnet.models.face_vid2vid.generator import FaceGenerator
from expnet.models.face_vid2vid.keypoints import KeypointDetector
from expnet.models.face_vid2vid.mapping import MappingNetwork
from expnet.models.face_vid2vid.sizes import SMALL
from expnet.render import renderer


@pytest.fixture(autouse=True, scope="session")
def _no_fetched_encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the speech encoders that the user has fetched: no test, nor a process of its own, depends on them.

    Weights of metrics and the models of the face tracker stay where tests find them, by links.
    """
    folder = tmp_path_factory.mktemp("user")
    assets = folder / "expnet" / "assets"
    assets.mkdir(parents=True)
    for name, asset in ASSETS.items():
        if asset.for_metrics:
            with contextlib.suppress(MissingAssetError):
                (assets / asset.file).symlink_to(locate(name).absolute())
    for model in TRACKING_MODELS:
        place = locate_model(model)
        if place is not None:
            (assets / model.file).symlink_to(place.absolute())
    with pytest.MonkeyPatch.context() as patch:
        # Only expnet's own cache moves with this variable; the libraries keep theirs where they are.
        for variable, name in (("TORCH_HOME", "torch"), ("MPLCONFIGDIR", "matplotlib"), ("HF_HOME", "huggingface")):
            cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
            patch.setenv(variable, os.environ.get(variable) or str(cache / name))
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.delenv("EXPNET_ASSETS", raising=False)
        yield


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    """Restore the number of threads: what a command sets in this process changes the last bits of later tests."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def face_tracker(_no_fetched_encoder: None) -> tuple[Path, ...]:
    """The models that LiteRT runs as the built-in face tracker; none where mediapipe runs its own.

    A test that needs the tracker is skipped where there is none.
    """
    if has_solutions():
        return ()
    found = tuple(place.resolve() for model in TRACKING_MODELS if (place := locate_model(model)) is not None)
    if util.find_spec("ai_edge_litert") is None or len(found) < len(TRACKING_MODELS):
        pytest.skip(f"the built-in face tracker is not here: pip install ai-edge-litert && {FETCH}")
    return found


@pytest.fixture(autouse=True)
def _no_shared_wandb_service() -> Iterator[None]:
    """End W&B's background service after a test that used it, so that no test meets what another left in it."""
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()


def random_whisper(path: Path, seed: int, *, width: int = 64, blocks: int = 3) -> Path:
    """Write random weights of the shapes that the first blocks of Whisper's encoder have."""
    random = np.random.default_rng(seed)
    shapes = {"conv1.weight": (width, 80, 3), "conv1.bias": (width,), "conv2.weight": (width, width, 3)}
    shapes |= {"conv2.bias": (width,), "positions": (1500, width)}
    for index in range(blocks):
        for part in _BLOCK:
            rows = {"qkv": 3, "mlp_in": 4}.get(part.split(".")[0], 1) * width
            columns = 4 * width if part == "mlp_out.weight" else width
            matrix = part.endswith("weight") and "norm" not in part
            shapes[f"blocks.{index}.{part}"] = (rows, columns) if matrix else (rows,)
    arrays = {name: (0.1 * random.normal(size=shape)).astype(np.float16) for name, shape in shapes.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whisper(path, WhisperWeights(arrays, blocks, 2))
    return path


@pytest.fixture(scope="session")
def write_encoder() -> Callable[..., Path]:
    """Writes a Whisper encoder of random weights: ``write_encoder(path, seed, width=64)``."""
    return random_whisper


@pytest.fixture(scope="session")
def small_sadtalker() -> SadTalkerNetworks:
    """SadTalker's networks, small and with random weights, drawing squares of 64 pixels."""
    torch.manual_seed(0)
    generator, keypoints, regressor, mapping, crop_mapping = (
        network.eval().requires_grad_(False)
        for network in (
            FaceGenerator(SMALL),
            KeypointDetector(SMALL),
            CoefficientRegressor(((4, 1), (4, 1), (4, 1), (4, 1))),
            MappingNetwork(73, SMALL),
            MappingNetwork(70, SMALL),
        )
    )
    for network in (mapping, crop_mapping):  # coefficients must move keypoints visibly
        network.fc_exp.weight.mul_(20.0)
    return SadTalkerNetworks(64, generator, keypoints, regressor, mapping, crop_mapping)


@pytest.fixture
def sadtalker_found(small_sadtalker: SadTalkerNetworks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``sadtalker`` be the small networks, as if the published files had been fetched at 256 pixels."""
    monkeypatch.setattr("expnet.render.open_renderer.open_sadtalker_networks", lambda *_, **__: small_sadtalker)
    monkeypatch.setattr("expnet.ui.renderers.found_sizes", lambda: (256,))


@pytest.fixture(scope="session")
def glowing() -> type:
    """The renderer of one's own that the docstring of `expnet.render.renderer` shows."""
    example = (inspect.getdoc(renderer) or "").partition("::\n")[2].partition("Animator(")[0]
    names: dict[str, Any] = {"np": np}
    exec(inspect.cleandoc(example), names)
    return names["Brightness"]


@pytest.fixture
def assets_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of fetched assets, the only one that is searched."""
    folder = tmp_path / "assets"
    folder.mkdir()
    monkeypatch.setenv("EXPNET_ASSETS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def unwritten_memory() -> Iterator[Callable[[int], None]]:
    """Fills memory that is allocated and not yet written: ``unwritten_memory(byte)``; 0 leaves it as it is.

    A result that changes with the byte depends on memory that nobody wrote. Otherwise such a fault shows now and then,
    on a busy machine.
    """
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("only glibc fills memory")
    perturb = -6  # M_PERTURB of mallopt(3), which fills with the complement of the byte
    library = ctypes.CDLL(None)

    def fill(byte: int) -> None:
        assert library.mallopt(perturb, byte ^ 0xFF if byte else 0) == 1

    yield fill
    library.mallopt(perturb, 0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes file systems of so many kilobytes, which fill up; only root can."""
    mounted: list[Path] = []

    def make(kilobytes: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a small file system needs root")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
