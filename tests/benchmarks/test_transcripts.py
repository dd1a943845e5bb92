"""What is said in a clip: CSV files in their forms, texts in the names of clips, and the script that writes them."""

import dataclasses
import importlib
from pathlib import Path

import pytest

from expnet.data.store.track_store import TrackStoreWriter
from expnet.errors import InputError
from shared.transcripts import read_languages, read_transcripts, text_from_name
from tests.training.small import make_track


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_both_forms_of_a_csv_file(tmp_path: Path) -> None:
    own = write(tmp_path / "own.csv", "clip,text\na.b,Hello there.\nc,\n")
    manifest = write(
        tmp_path / "manifest.csv",
        "file,lang,transcript\nd.mp4,zh,\u4f60\u597d\ne.mp4,en,It breaks off...\nf.mp4,fr,Bonjour\n",
    )
    assert read_transcripts([own, manifest]) == {
        "a.b": ("Hello there.", "en-us"),
        "d": ("\u4f60\u597d", "cmn"),
        "f": ("Bonjour", "fr"),
    }
    assert read_languages([manifest]) == {"d": "zh", "e": "en", "f": "fr"}
    with pytest.raises(InputError, match=r"own\.csv has no column language or lang; it has clip, text"):
        read_languages([own])
    with pytest.raises(InputError, match="cannot be read as a CSV file"):
        read_transcripts([tmp_path / "missing.csv"])


def test_names_that_tell_the_text() -> None:
    assert text_from_name("grid_s1_bbaf2n") == "bin blue at F two now"
    assert text_from_name("grid_swwp2s") == "set white with P two soon"
    assert text_from_name("cremad_1001_DFA_ANG_XX") == "Don't forget a jacket."
    assert [text_from_name(name) for name in ("grid_s1_xbaf2n", "cremad_1001_XXX_ANG_XX", "vox_00015")] == ["", "", ""]


def test_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    with TrackStoreWriter(tmp_path / "store") as writer:
        for seed, name in enumerate(("grid_s1_bbaf2n", "talk", "other")):
            writer.add(dataclasses.replace(make_track(seed, 30, ""), clip_id=name))
        writer.finish()
    manifest = write(tmp_path / "manifest.csv", 'file,language,transcript\ntalk.mp4,es,"Hola, qué tal"\n')
    importlib.import_module("transcripts").main([str(tmp_path / "store"), "--manifest", str(manifest)])
    out, err = capsys.readouterr()
    assert sorted(out.splitlines()) == [
        "clip,text,language",
        "grid_s1_bbaf2n,bin blue at F two now,en-us",
        'talk,"Hola, qué tal",es',
    ]
    assert "2 of 3 clips have a transcript" in err
