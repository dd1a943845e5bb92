"""The configuration grammar: what it accepts, and one sentence for each trap."""

import subprocess
import sys
from pathlib import Path

import pytest

from expnet.config import ExpressionConfig, PoseConfig, load_config
from expnet.config.benchmark import VideoBenchmarkConfig
from expnet.config.grammar import attribute_docs, describe, find_file, merge, parse_arguments, to_container, to_yaml
from expnet.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def load(*layers: str) -> ExpressionConfig | PoseConfig:
    return load_config(parse_arguments(layers).layers)


def refusal(*layers: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*layers)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


def test_files_and_overrides_merge_left_to_right(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yml"
    first.write_text("task: expression\noptim: {lr: 0.5, ema: 0.5}\n")
    second.write_text("optim:\n  lr: 0.25\n")
    config = load(str(first), "optim.lr=0.1", str(second), "trainer.max_steps=7")
    assert (config.optim.lr, config.optim.ema, config.trainer.max_steps) == (0.25, 0.5, 7)
    assert load(str(first), str(second), "optim.lr=1e-4").optim.lr == 1e-4


def test_values() -> None:
    config = load(
        "task=expression", "data.store=[a, b]", "ckpt=null", "model.residual=false", "output=a=b", "optim.lr=1e-4"
    )
    assert config.data.store == ["a", "b"]
    assert config.ckpt is None
    assert config.model.residual is False
    assert config.output == "a=b"
    assert load("task=expression", "data.store=~/x").data.store == str(Path("~/x").expanduser())
    assert isinstance(load("task=pose"), PoseConfig)
    assert load("task=pose").data.window == 129


TEXTS = ("my run #2", "0123", "12:30", "1e3", "2024-05-01", "no", "a: b: c", "{a: 1}", "'quoted'", " x ", "#1", "a, b")


@pytest.mark.parametrize("text", TEXTS)
def test_text_stays_text_letter_for_letter(text: str, tmp_path: Path) -> None:
    config = load("task=expression", f"output={text}", f"data.store={text}", f"loss.sync_expert={text}")
    assert (config.output, config.data.store, config.loss.sync_expert) == (text, text, text)
    benchmark = merge(VideoBenchmarkConfig, [f"systems.ours={text}", "reference=real"])
    assert benchmark.systems == {"ours": text}
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load(str(tmp_path / "config.yaml")) == config


def test_text_in_files_and_lists() -> None:
    assert load("task=pose", "data.store=[st #2, 0123, 12:30, '1, 2', \"a\"]").data.store == [
        "st #2", "0123", "12:30", "1, 2", "a",
    ]  # fmt: skip
    assert load("task=pose", "data.store=[]").data.store == []
    assert load("task=pose", "data.store=[a, b,]").data.store == ["a", "b"]
    assert load("task=pose", "data.store_weights=[1, .5, 1e-1]").data.store_weights == [1.0, 0.5, 0.1]


def test_text_in_files(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("task: pose\noutput: 0123\nckpt:\ndata:\n  store: [12:30, 1e3]\n  features: 007\nseed: 010\n")
    config = load(str(path))
    assert (config.output, config.ckpt, config.data.store) == ("0123", None, ["12:30", "1e3"])
    assert (config.data.features, config.seed) == ("007", 10)


def test_numbers_are_decimal() -> None:
    assert load("task=pose", "seed=010").seed == 10
    assert load("task=pose", "seed=1_000").seed == 1000
    assert [load("task=pose", f"optim.lr={value}").optim.lr for value in ("1e-2", "1.", ".5", "+3")] == [
        0.01,
        1,
        0.5,
        3,
    ]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            "optim.lr",
            "'optim.lr' is neither a configuration file, which ends in .yaml, nor an override; write optim.lr=",
        ),
        ("--seed=3", "keys are set without dashes, as seed=3"),
        ("--max-steps", "keys are set without dashes, as max_steps=VALUE"),
        ("data.store+=[1]", "a key is set with a plain '=', and a list is given whole: data.store=[1, 2]"),
        ("hidden.0=7", "an item of a list cannot be set alone; give the list whole: hidden=[...]"),
        ("=3", "is not a key"),
        ("a b=3", "'a b' is not a key"),
        ("optim.lr=nan", "optim.lr must be a finite number, not nan."),
        ("optim.lr=.inf", "optim.lr must be a finite number, not inf."),
        ("optim.lr=abc", "optim.lr: Value 'abc' of type 'str' could not be converted to Float."),
        ("seed=1.5", "seed: Value '1.5' of type 'float' could not be converted to Integer."),
        ("optim.lr=", "optim.lr: Incompatible value 'None' for field of type 'float'."),
        ("optim.lr=[1", "the value is not valid YAML"),
        ("optim=3", "optim is a section; set the keys in it, as optim.NAME=VALUE"),
        ("optim.lrr=1", "Did you mean: 'lr'?"),
        ("opttim.lr=1", "Did you mean: 'optim'?"),
        ("model.atention_bias=none", "Did you mean: 'attention_bias'?"),
        (
            "model.attention_bias=rotary",
            "must be one of alibi, alibi_causal, alibi_periodic, alibi_learned, sinusoidal, none, or MODULE:CLASS",
        ),
        ("model.residual=maybe", "model.residual: Value 'maybe' is not a valid bool"),
        ("model.latent=3", "Key 'latent' not in 'ExpressionModelConfig'; --help lists all keys."),
        ("output=${nope}", "Interpolation key 'nope' not found"),
        ("seed=12:30", "seed: Value '12:30' of type 'str' could not be converted to Integer."),
        ("seed=-1", "seed must be at least 0 and below 2^32, not -1."),
        ("model.width=30", "model.width (30) must be a multiple of model.heads (4)."),
        ("data.validation_fraction=1", "data.validation_fraction must be at least 0 and below 1, not 1.0."),
        ("trainer.devices=0", "trainer.devices must be 1 or more, or -1, not 0."),
        ("task=poze", "task must be one of expression, pose, motion, landmark_sync, refiner, renderer, not 'poze'."),
        (
            "nowhere.yaml",
            "There is no configuration file nowhere.yaml; those that come with expnet are ",
        ),
    ],
)
def test_traps(layer: str, message: str) -> None:
    assert message in refusal("task=expression", layer)


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    for text, message in (
        ("- a\n- b\n", "must hold 'key: value' lines"),
        ("a: [1\n", "is not a readable configuration file"),
        ("task: expression\ntask: pose\n", "found duplicate key"),
        (
            "task: expression\noptim: {lrr: 1}\n",
            f"{path}: optim.lrr: Key 'lrr' not in 'OptimConfig'. Did you mean: 'lr'?",
        ),
        ("task: expression\noptim: 3\n", f"{path}: "),
    ):
        path.write_text(text)
        assert message in refusal(str(path))
    path.write_text("task: expression\ndata: {store: {a: 1}}\n")
    assert "data.store must be a folder or a list of folders, not {'a': 1}." in refusal(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    assert "is not a readable configuration file" in refusal(str(path))
    path.write_text("")
    assert load("task=pose", str(path)).task == "pose"


def test_no_task_and_rules_across_keys() -> None:
    assert "start from configs/expression.yaml or configs/pose.yaml" in refusal("optim.lr=1")
    assert "data.window must be 33 frames or more" in refusal("task=pose", "data.window=32")
    weights = ("coefficient", "velocity", "landmark", "eye")
    assert "nothing to train on" in refusal("task=expression", *(f"loss.{name}_weight=0" for name in weights))


def test_every_shipped_file_loads() -> None:
    files = sorted(CONFIGS.glob("*.yaml"))
    assert {"expression.yaml", "pose.yaml", "per_frame.yaml"} <= {file.name for file in files}
    trained = [file for file in files if "task:" in file.read_text()]
    for file in trained:
        config = load(str(file))
        assert file.read_text().startswith("#"), f"{file.name} says nothing about itself"
        assert load_config([f"task={config.task}"]) or True
    assert len(trained) >= 5


def test_shipped_files_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("configs/pose.yaml", "pose.yaml"):
        assert find_file(name).samefile(CONFIGS / "pose.yaml")
    (tmp_path / "pose.yaml").write_text("task: pose\n")
    assert find_file("pose.yaml") == Path("pose.yaml")


def test_printed_configuration_reads_back_the_same(tmp_path: Path) -> None:
    for task in ("expression", "pose", "motion"):
        config = load(f"task={task}", "optim.lr=0.125", "data.store=[a, b]")
        (tmp_path / "config.yaml").write_text(to_yaml(config))
        assert load(str(tmp_path / "config.yaml")) == config
        plain = to_container(config)
        assert type(plain) is dict
        assert type(plain["optim"]) is dict
        assert type(plain["data"]["store"]) is list


def test_every_key_is_documented() -> None:
    for schema in (ExpressionConfig, PoseConfig):
        text = describe(schema)
        assert "model.width: whole number = 96" in text
        for line in text.splitlines():
            assert len(line) <= 160
        for name, value in vars(schema()).items():
            assert name in attribute_docs(schema), name
            for key in vars(value) if hasattr(value, "__dataclass_fields__") else ():
                assert attribute_docs(type(value)).get(key), f"{name}.{key}"


def test_merge_needs_no_file() -> None:
    assert merge(PoseConfig, ["model.latent=5"]).model.latent == 5


def test_reading_a_configuration_needs_no_torch() -> None:
    code = "import sys, expnet.config; expnet.config.load_config(['task=pose']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
