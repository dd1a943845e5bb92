"""Exported networks: a folder that loads without Lightning, a correct model card, and ONNX graphs that agree."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from expnet.animate.animator import Animator
from expnet.audio.alignment import mel_columns
from expnet.cli import main
from expnet.coefficients import FaceCoefficients
from expnet.config import load_config
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore, TrackStoreWriter
from expnet.errors import ExpnetError, InputError
from expnet.export.model_card import write_card
from expnet.export.model_folder import export_model
from expnet.face.morphable import builtin_face_model
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.sadtalker import SADTALKER_EXPRESSION, SadTalkerPose
from expnet.models.saved_model import HEADER, load_model, open_model, save_model
from expnet.training.run_folder import RUN_VARIABLE

ROOT = Path(__file__).resolve().parents[2]


def lively(model: nn.Module) -> nn.Module:
    """Fill parameters that start at zero, so that the output depends on every input."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.3)
    return model.eval()


def make_track(number: int, split: str) -> Track:
    generator = np.random.default_rng(number)
    frames = 80
    return Track(
        clip_id=f"clip{number}",
        speaker=f"speaker{number}",
        coefficients=FaceCoefficients(
            expression=generator.normal(size=(frames, 64)),
            rotation=0.05 * generator.normal(size=(frames, 3)),
            translation=0.05 * generator.normal(size=(frames, 3)),
            identity=np.zeros(builtin_face_model().identity_size),
            crop=(60.0, 60.0, 100.0),
        ),
        landmarks=np.repeat(generator.uniform(40, 80, size=(1, 68, 2)), frames, axis=0).astype(np.float32),
        valid=np.ones(frames, bool),
        audio=(0.1 * generator.normal(size=640 * frames)).astype(np.float32),
        frame_size=(128, 128),
        split=split,
        corpus="made",
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "clips"
    with TrackStoreWriter(path) as writer:
        for number in range(5):
            writer.add(make_track(number, "train" if number < 3 else "validation"))
        writer.finish()
    return path


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def train(store: Path, output: Path, *overrides: str) -> Path:
    from expnet.training.main import train

    return train(
        load_config([*overrides, f"data.store={store}", "trainer.accelerator=cpu", f"output={output}"]),
        command=("train",),
    )


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory) -> Path:
    return train(store, tmp_path_factory.mktemp("runs") / "expression-1", "configs/smoke_expression.yaml")


def test_a_run_is_exported(run: Path, store: Path, tmp_path: Path, capsys) -> None:
    assert main(["export", "--checkpoint", str(run), "--output", str(tmp_path / "product")]) == 0
    folder = tmp_path / "product"
    assert capsys.readouterr().out.strip() == str(folder)
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.yaml", "README.md"}
    for name, value in load_model(run, "expression").state_dict().items():
        assert torch.equal(load_model(folder, "expression").state_dict()[name], value), name
    card = (folder / "README.md").read_text()
    assert TrackStore(store).fingerprint() in card
    assert "| train | 3 | 3 | 0.00 | made |" in card
    notes = open_model(run)[1]["notes"]
    assert notes["validation"]
    for name, value in notes["validation"].items():
        assert f"| {name} | {value:.4g} |" in card
    assert f"| torch | {notes['versions']['torch']} |" in card
    assert str(store.parent) not in card + (folder / "config.yaml").read_text()
    assert str(store.parent) not in str(open_model(folder)[1])

    config = load_config([str(folder / "config.yaml"), f"data.store={store}"])
    assert (config.model.width, config.output, config.ckpt) == (
        load_config(["configs/smoke_expression.yaml"]).model.width,
        None,
        None,
    )


def test_the_config_of_an_export_fine_tunes_it(run: Path, store: Path, tmp_path: Path) -> None:
    folder = export_model(run, tmp_path / "product")
    still = ("trainer.max_steps=1", "trainer.validate_every=1", "optim.lr=1e-12", "optim.warmup_steps=0")
    again = train(store, tmp_path / "again", str(folder / "config.yaml"), f"init={folder}", *still)
    for name, value in load_model(folder, "expression").state_dict().items():
        torch.testing.assert_close(load_model(again, "expression").state_dict()[name], value, atol=1e-6, rtol=0)


def test_a_lone_checkpoint_tells_the_same_as_its_run(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.ckpt"
    alone.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    cards = [
        (export_model(source, tmp_path / name) / "README.md").read_text() for source, name in ((run, "a"), (alone, "b"))
    ]
    assert cards[0] == cards[1]


def test_weights_without_a_history_get_an_honest_card(tmp_path: Path) -> None:
    save_model(tmp_path / "bare.safetensors", PoseCVAE(width=16, latent=4))
    folder = export_model(tmp_path / "bare.safetensors", tmp_path / "product")
    card = (folder / "README.md").read_text()
    assert "do not say what they were trained on" in card
    assert "No validation scores were recorded" in card
    assert load_config([str(folder / "config.yaml")]).model.latent == 4


def test_an_export_is_repeated_and_loses_what_is_stale(tmp_path: Path) -> None:
    save_model(tmp_path / "bare.safetensors", PoseCVAE(width=16, latent=4))
    folder = export_model(tmp_path / "bare.safetensors", tmp_path / "product")
    before = (folder / "README.md").read_bytes()
    (folder / "pose_audio.onnx").write_text("of other weights")
    export_model(tmp_path / "bare.safetensors", folder)
    assert not (folder / "pose_audio.onnx").exists()
    assert (folder / "README.md").read_bytes() == before


def test_mistakes_take_one_sentence(run: Path, tmp_path: Path, capsys) -> None:
    def sentence(*arguments: str) -> str:
        assert main(["export", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        return error

    assert "There is no model at" in sentence("--checkpoint", "none.ckpt", "--output", str(tmp_path / "x"))
    assert "is the folder of a run" in sentence("--checkpoint", str(run), "--output", str(run))
    assert "one of the task 'pose' is needed" in sentence(
        "--checkpoint", str(run), "--output", str(tmp_path / "x"), "--task", "pose"
    )
    (tmp_path / "file").write_text("")
    assert "Cannot write" in sentence("--checkpoint", str(run), "--output", str(tmp_path / "file"))


def test_exports_load_without_lightning(run: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "pose.safetensors", PoseCVAE(width=16, latent=4))
    expression, pose = export_model(run, tmp_path / "e"), export_model(tmp_path / "pose.safetensors", tmp_path / "p")
    code = (
        "import sys\n"
        "from expnet.animate.animator import Animator\n"
        f"Animator(expression={str(expression)!r}, pose={str(pose)!r})\n"
        "heavy = {'pytorch_lightning', 'lightning', 'torchmetrics', 'wandb'}\n"
        "sys.exit(bool(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_coefficients_of_another_face_model_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "basel.safetensors", ExpressionRegressor(**SADTALKER_EXPRESSION))
    with pytest.raises(InputError, match="of the face model 'bfm2009', but face_model is 'mediapipe468'"):
        Animator(expression=tmp_path / "basel.safetensors")


def test_sadtalkers_expression_network_has_the_shape_of_its_configuration() -> None:
    """Published weights can initialise configs/per_frame.yaml at its full width."""
    config = load_config(["configs/per_frame.yaml", "model.audio_channels=32"])
    options = {name: value for name, value in vars(config.model).items() if name not in ("emotion", "network")}
    ours, published = ExpressionRegressor(**options), ExpressionRegressor(**SADTALKER_EXPRESSION)
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in published.state_dict().items()
    }


def test_sadtalkers_pose_network_trains_further_and_is_exported(store: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_model(tmp_path / "published.safetensors", SadTalkerPose())
    trained = train(
        store,
        tmp_path / "run",
        "configs/sadtalker_pose.yaml",
        f"init={tmp_path / 'published.safetensors'}",
        "data.batch_size=2",
        "data.limit_validation_clips=1",
        "optim.warmup_steps=0",
        "trainer.max_steps=1",
        "trainer.validate_every=1",
    )
    before, after = load_model(tmp_path / "published.safetensors", "pose"), load_model(trained, "pose")
    assert isinstance(after, SadTalkerPose)
    assert torch.equal(
        after.audio_encoder.audio_encoder[0].conv_block[0].weight,
        before.audio_encoder.audio_encoder[0].conv_block[0].weight,
    )
    assert not torch.equal(after.decoder.pose_linear.weight, before.decoder.pose_linear.weight)
    folder = export_model(trained, tmp_path / "product")
    assert load_config([str(folder / "config.yaml")]).model.network == "sadtalker"


def write_random(folder: Path, model: nn.Module) -> Path:
    save_model(folder / "model.ckpt.safetensors", lively(model))
    return folder / "model.ckpt.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"attention_bias": "alibi", "blink": True, "emotions": 3},
        {"audio_encoder": "window", "temporal_module": "none", "level": False, "residual": False, "blink": True},
        {"speech_features": {"encoder": "whisper", "layer": 3, "size": 8, "sha256": "0" * 64}, "blink": True},
    ],
    ids=["transformer", "per_frame", "speech_features"],
)
def test_onnx_expression_equals_the_network_at_any_length(options: dict, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    path = write_random(tmp_path, ExpressionRegressor(width=16, heads=2, audio_channels=4, **options))
    folder = export_model(path, tmp_path / "product", onnx=True)
    assert re.search(r"\| `expression\.onnx` \| \de-0[5-9] \|", (folder / "README.md").read_text())
    session = onnxruntime.InferenceSession(folder / "expression.onnx")
    model = load_model(folder, "expression")
    for frames in (1, 2, 26, 900):
        inputs = {"mel": torch.rand(2, 80, mel_columns(frames)) * 8 - 4, "first_expression": torch.randn(2, 64)}
        inputs["blink"] = torch.rand(2, frames)
        if options.get("emotions"):
            inputs["emotion"] = torch.tensor([2, 0])
        if "speech_features" in options:
            inputs["features"] = torch.randn(2, frames, options["speech_features"]["size"])
        found = session.run(None, {name: value.numpy() for name, value in inputs.items()})[0]
        with torch.no_grad():
            expected = model(frames=frames, **inputs)
        assert found.shape == (2, frames, 64)
        assert expected.std() > 0.05
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4, rtol=0)


class NumpyNoise:
    """Replaces ``torch.randn`` by the random numbers of a program without torch."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def __call__(self, *shape: int, generator: None) -> torch.Tensor:
        return torch.from_numpy(self.random.standard_normal(shape, np.float32))


@pytest.mark.slow
def test_onnx_head_motion_by_the_loop_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = lively(PoseCVAE(width=16, latent=4, audio_features=8, audio_channels=8))
    with torch.no_grad():
        factor = 0.5 * torch.randn(4, 4)
        model.prior.covariance.copy_(factor @ factor.T + torch.eye(4))
        model.prior.mean.normal_()
        model.pose_std.copy_(torch.tensor([0.1, 0.12, 0.05, 0.06, 0.05, 0.03]))
    folder = export_model(write_random(tmp_path, model), tmp_path / "product", onnx=True)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "guides" / "export.md").read_text(), flags=re.DOTALL)
    names: dict = {}
    exec(code, names)

    network = load_model(folder, "pose")
    first = np.array([0.35, -0.1, 0.05, 0.1, 0.0, 0.0], np.float32)
    for frames in (2, 33, 75):
        mel = torch.rand(80, mel_columns(frames)) * 8 - 4
        found = names["draw_head_motion"](folder, mel.numpy(), frames, first, seed=3)
        with monkeypatch.context() as patch:  # the network with the noise of the loop
            patch.setattr(torch, "randn", NumpyNoise(seed=3))
            expected = network.sample(mel[None], frames, torch.from_numpy(first)[None])[0]
        assert found.shape == (frames, 6)
        assert expected.abs().max() > (0.01 if frames > 8 else 0)  # the decoder takes over gradually
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"speech_features": {"encoder": "whisper", "layer": 3, "size": 12, "sha256": "0" * 64}},
        {"emotions": 3, "attention_bias": "alibi_causal"},
        {"groups": ["expression"], "first_frame_conditioning": False},
    ],
)
def test_a_step_of_the_motion_network_equals_the_network_at_any_length(options: dict, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = lively(MotionFlow(width=16, layers=1, audio_channels=8, **options))
    folder = export_model(save_model(tmp_path / "motion.safetensors", model), tmp_path / "out", onnx=True)
    loaded = load_model(folder, "motion").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())
    card = (folder / "README.md").read_text()
    assert "# Motion network" in card
    assert "`motion_step.onnx`" in card
    assert "--motion" not in card


def test_a_graph_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    from expnet.export import onnx_graphs as onnx_export

    monkeypatch.setattr(onnx_export, "_difference", lambda *_: float("nan"))
    graph = onnx_export.PoseAudioGraph(PoseCVAE(audio_features=4, audio_channels=4))  # the smallest
    with pytest.raises(ExpnetError, match="differs from the network by nan"):
        onnx_export._export(graph.eval(), tmp_path / "pose_audio.onnx")


def test_onnx_of_sadtalkers_head_pose_is_refused(tmp_path: Path) -> None:
    from expnet.export.onnx_graphs import export_onnx

    with pytest.raises(InputError, match="A SadTalkerPose cannot be written as ONNX"):
        export_onnx(SadTalkerPose(), tmp_path)


def test_a_card_is_written_for_every_header(tmp_path: Path) -> None:
    """Old files have fewer notes; the card says so."""
    model = ExpressionRegressor(width=4, heads=1, audio_channels=4)
    header = {"task": "expression", "options": {}, "notes": {"trained_on": "a whisper"}, HEADER: ""}
    card = write_card(model, header, tmp_path, {})
    assert "a whisper" in card
    assert "ExpressionRegressor, " in card
