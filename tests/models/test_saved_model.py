"""Model files: round trip, and one sentence for each way in which a file can be wrong."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from expnet.errors import InputError
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import HEADER, build_model, load_model, read_header, save_model

SMALL = {"expression_size": 5, "width": 16, "audio_channels": 8}


@pytest.fixture
def model() -> ExpressionRegressor:
    torch.manual_seed(0)
    model = ExpressionRegressor(**SMALL, temporal_module="conv")
    with torch.no_grad():
        model.head.weight.normal_()
        model.expression_std.fill_(2.0)
    return model


def test_round_trip(tmp_path: Path, model: ExpressionRegressor) -> None:
    path = save_model(tmp_path / "new" / "model.safetensors", model, {"steps": 3})
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]
    header = read_header(path)
    assert (header["task"], header["notes"]) == ("expression", {"steps": 3})
    loaded = load_model(path, "expression")
    assert not loaded.training
    mel, first = torch.randn(1, 80, 64), torch.randn(1, 5)
    with torch.no_grad():
        assert torch.equal(loaded(mel, 10, first), model.eval()(mel, 10, first))
    assert torch.equal(load_model(path.parent, "expression").expression_std, model.expression_std)


def test_pose_round_trip(tmp_path: Path) -> None:
    model = PoseCVAE(width=16, latent=4, styles=3)
    loaded = load_model(save_model(tmp_path / "pose.safetensors", model), "pose")
    assert loaded.options["styles"] == 3
    mel, first = torch.randn(1, 80, 64), torch.zeros(1, 6)
    samples = [m.eval().sample(mel, 10, first, generator=torch.Generator().manual_seed(1)) for m in (model, loaded)]
    assert torch.equal(*samples)


def checkpoint(model: ExpressionRegressor, path: Path, prefix: str = "model.") -> Path:
    weights = {prefix + name: value for name, value in model.state_dict().items()}
    torch.save({HEADER: {"task": "expression", "options": model.options}, "state_dict": weights}, path)
    return path


def test_checkpoints_and_run_folders(tmp_path: Path, model: ExpressionRegressor) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    checkpoint(model, folder / "last.ckpt")
    assert torch.equal(load_model(folder / "last.ckpt", "expression").head.weight, model.head.weight)
    with torch.no_grad():
        model.head.weight.fill_(3.0)
    checkpoint(model, folder / "best.ckpt")
    assert float(load_model(tmp_path / "run", "expression").head.weight.detach()[0, 0]) == 3.0
    with torch.no_grad():
        model.head.weight.fill_(4.0)
    save_model(tmp_path / "run" / "model.safetensors", model)
    assert float(load_model(tmp_path / "run", "expression").head.weight.detach()[0, 0]) == 4.0


def test_averaged_weights_are_preferred(tmp_path: Path, model: ExpressionRegressor) -> None:
    weights = {"model." + name: value for name, value in model.state_dict().items()}
    weights |= {"averaged." + name: value + 1 for name, value in model.state_dict().items()}
    torch.save({HEADER: {"task": "expression", "options": model.options}, "state_dict": weights}, tmp_path / "a.ckpt")
    assert torch.equal(load_model(tmp_path / "a.ckpt", "expression").head.bias, model.head.bias + 1)


def test_wrong_files_are_refused(tmp_path: Path, model: ExpressionRegressor) -> None:
    good = save_model(tmp_path / "model.safetensors", model)
    with pytest.raises(InputError, match="holds a model of the task 'expression', but one of the task 'pose'"):
        load_model(good, "pose")
    with pytest.raises(InputError, match="There is no model at"):
        load_model(tmp_path / "none.ckpt", "pose")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no model: neither model\.safetensors"):
        load_model(tmp_path / "empty", "pose")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(InputError, match="is not a readable safetensors file"):
        load_model(tmp_path / "text.safetensors", "pose")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(InputError, match="is not a readable checkpoint"):
        load_model(tmp_path / "text.ckpt", "pose")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="is not a model: expected"):
        load_model(tmp_path / "notes.txt", "pose")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="was not written by expnet"):
        load_model(tmp_path / "other.safetensors", "pose")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="was not written by expnet"):
        load_model(tmp_path / "other.ckpt", "pose")
    header = {"schema": 99, "version": "9.0", "task": "expression"}
    save_file({"a": torch.zeros(1)}, tmp_path / "newer.safetensors", metadata={HEADER: json.dumps(header)})
    with pytest.raises(InputError, match=r"written by expnet 9\.0, which is newer"):
        load_model(tmp_path / "newer.safetensors", "expression")
    header = {"schema": 1, "task": "expression", "options": SMALL}
    save_file({"a": torch.zeros(1)}, tmp_path / "mixed.safetensors", metadata={HEADER: json.dumps(header)})
    with pytest.raises(InputError, match="do not fit the model that its header describes"):
        load_model(tmp_path / "mixed.safetensors", "expression")


def test_a_pickle_that_would_run_code_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"state_dict": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(InputError, match="is not a readable checkpoint"):
        load_model(tmp_path / "trap.ckpt", "expression")
    assert not (tmp_path / "sprung").exists()


def test_unknown_options_are_refused() -> None:
    with pytest.raises(InputError, match="not the options of a pose model"):
        build_model("pose", {"hidden": 3})
