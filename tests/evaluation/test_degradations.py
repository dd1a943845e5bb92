"""The degraded copies of ``benchmarks/degradations.py``, its rules, and a complete run on one small clip."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from degradations import broken, main, tell
from expnet.audio.wave import load_audio
from expnet.config.benchmark import GROUND_TRUTH
from shared.degraded_copies import DEGRADATIONS, QUALITIES, delayed, halved, make_copies, noisy, shift_name


def test_a_shift_moves_the_sound_and_keeps_its_length() -> None:
    sound = np.arange(1, 640 * 6 + 1, dtype=np.float32)
    late, early = delayed(sound, 2), delayed(sound, -2)
    assert len(late) == len(early) == len(sound)
    assert (late[:1280] == 0).all()
    assert late[1280] == 1
    assert early[0] == 1281
    assert (early[-1280:] == 0).all()


def test_noise_and_half_size() -> None:
    grey = [np.full((90, 122, 3), 128, np.uint8)] * 3
    disturbed = np.stack(noisy(grey)).astype(float)
    assert disturbed.std() == pytest.approx(25.5, rel=0.02)
    assert disturbed.mean() == pytest.approx(128, abs=0.5)
    assert [image.shape for image in halved(grey)] == [(44, 60, 3)] * 3


def _results(**metrics: dict[str, float]) -> dict[str, Any]:
    """Results in which each metric has the given means by system, and no others."""
    systems = (GROUND_TRUTH, *DEGRADATIONS)
    table = {
        system: {"metrics": {key: {"mean": values[system]} for key, values in metrics.items() if system in values}}
        for system in systems
    }
    return {"systems": table, "metrics": list(metrics)}


def test_a_metric_that_moves_the_wrong_way_breaks_a_rule() -> None:
    good = _results(
        audio_mouth_lag={GROUND_TRUTH: 0.0, "sound_late_2": -2.0, "sound_early_4": 4.0},
        ssim={"quality_23": 0.9, "quality_33": 0.8, "quality_43": 0.6, "noise": 0.5},
    )
    assert broken(good) == 0
    assert sum(line.startswith("ok") for line in tell(good)) == 5
    wrong_sign = _results(audio_mouth_lag={GROUND_TRUTH: 0.0, "sound_late_2": 2.0})
    assert broken(wrong_sign) == 1
    unmoved = _results(ssim={"quality_23": 0.9, "quality_33": 0.9})
    assert broken(unmoved) == 1


def test_some_of_the_copies_have_rules_of_their_own() -> None:
    some = _results(ssim={"quality_23": 0.9, "quality_43": 0.95, "frozen": 0.5})
    some["systems"] = {name: some["systems"][name] for name in (GROUND_TRUTH, "quality_23", "quality_43", "frozen")}
    assert broken(some) == 1
    lines = list(tell(some))
    assert any(line.startswith("BROKEN     ssim: quality_43 < quality_23") for line in lines)
    assert any(line.startswith("not scored ssim: noise") for line in lines)


def test_copies_are_what_their_names_say(
    talking: dict[str, Any], write_folder: Callable[..., Path], tmp_path: Path
) -> None:
    frames, sound = talking["two"]
    source = write_folder(tmp_path / "source", {"two": (frames[:12], sound[: 12 * 640])})
    make_copies(source, tmp_path / "copies", limit=0, seconds=10.0, side=128)
    made = sorted(path.parent.name for path in (tmp_path / "copies").rglob("two.mp4"))
    assert made == sorted([GROUND_TRUTH, *DEGRADATIONS])
    make_copies(source, tmp_path / "one", limit=0, seconds=0.2, side=64, made=["frozen"])
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["frozen", GROUND_TRUTH]
    sizes = [(tmp_path / "copies" / f"quality_{crf}" / "two.mp4").stat().st_size for crf in QUALITIES]
    assert sizes == sorted(sizes, reverse=True)
    real = load_audio(tmp_path / "copies" / GROUND_TRUTH / "two.mp4")
    late = load_audio(tmp_path / "copies" / shift_name(4) / "two.mp4")
    length = min(len(real), len(late)) - 4 * 640
    # The audio is noise, most of which AAC preserves, but not all.
    assert np.corrcoef(real[:length], late[4 * 640 : 4 * 640 + length])[0, 1] > 0.6
    assert abs(np.corrcoef(real[:length], late[:length])[0, 1]) < 0.3


@pytest.mark.slow
def test_the_benchmark_runs_and_prints_every_rule(
    talking: dict[str, Any],
    write_folder: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = write_folder(tmp_path / "source", {"two": talking["two"]})
    options = ["--output", str(tmp_path / "out"), "examples.clips=0", "metrics=[psnr,ssim]", "trainer.threads=1"]
    assert main([str(source), *options]) == 0  # the effect of a codec on frames is the same for any clip
    printed = capsys.readouterr().out
    assert "ok         ssim: quality_43 < quality_33" in printed
    assert "not scored sync_offset" in printed
