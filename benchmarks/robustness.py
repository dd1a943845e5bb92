"""What do the lips do in silence, in noise, and in languages that were not trained on?

Usage: python benchmarks/robustness.py [--weights RUN] [--speech-encoder FILE] [--speech FOLDER]
       [--output FILE.json]

The expression network (the packaged one on the mel, unless --weights names another) is given non-speech audio, speech,
and speech in noise, always from the same portrait: the mean face with its lips just closed. --speech adds the
recordings of a folder to the synthetic voices. A good network keeps the lips closed in silence and in pauses, does not
chatter on noise, and opens the mouth equally far and equally soon in any language.

Everything is in percent of clean speech: 100 is the median over the clean voices of the opening's range (95th minus 5th
percentile), and of the root mean square of its change from frame to frame.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, fit_length
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.speech_encoders import SpeechEncoder
from expnet.audio.speech_synthesis import synthesize_speech
from expnet.audio.wave import load_audio
from expnet.face.measures import expression_for
from expnet.io.markdown import markdown_table
from expnet.metrics.functional import silent_frames
from expnet.metrics.functional.mouth import best_lag, lagged_pearson, pearson
from expnet.models.expression_regressor import ExpressionRegressor
from shared.noise_and_music import Samples, at_level, clicks, hum, music, noise
from shared.predicted_lips import PredictedLips, open_lips

SECONDS = 8.0
SPEECH_LEVEL = -26.0
"""Root mean square level of speech in dB of full scale, as usual in telephone tests (ITU-T P.56)."""
NOISE_RATIOS = (20, 10, 5, 0)
CLOSED = 0.005
"""Opening of the portrait's lips, in distances of the outer eye corners; a spoken vowel has 0.1 to 0.2."""
LONGEST_LAG = 8
_ENERGY_DECIBELS = 40.0  # this far below a recording's loudest tenth, the level says nothing about the mouth
HEADER = (
    "audio",
    "opening %",
    "range %",
    "motion %",
    "opening in pauses %",
    "motion in pauses %",
    "lag",
    "agreement",
    "n",
)
SENTENCES = {
    "en": "My brother plays the violin by the open window. Maybe you remember him? He was born above the old mill.",
    "de": "Mein Bruder spielt am offenen Fenster Geige. Vielleicht weißt du noch? Er kam oben in der Mühle zur Welt.",
    "fr": "Mon frère joue du violon à la fenêtre ouverte. Tu te souviens peut-être? Il habitait près du vieux moulin.",
    "es": "Mi hermano toca el violín junto a la ventana abierta. ¿Te acuerdas? Vivía sobre el viejo molino.",
    "it": "Mio fratello suona il violino alla finestra aperta. Forse ti ricordi? Abitava sopra il vecchio mulino.",
    "ru": "Мой брат играет на скрипке у открытого окна. Помнишь его? Он жил над мельницей.",  # noqa: RUF001
    "pl": "Mój brat gra na skrzypcach przy otwartym oknie. Pamiętasz go? Mieszkał nad starym młynem.",
    "tr": "Kardeşim açık pencerenin yanında keman çalıyor. Onu hatırlıyor musun?",  # noqa: RUF001
    "hi": "मेरा भाई खुली खिड़की के पास वायलिन बजाता है। क्या तुम्हें वह याद है?",
    "ja": "おとうとは あいた まどの そばで バイオリンを ひきます。おぼえていますか。",
}
"""Sentences of the synthetic voices; the last four languages are in none of the training data."""


@dataclasses.dataclass(frozen=True)
class AudioClip:
    """One audio clip to test with.

    Args:
        group: Row of the table that it counts for.
        name: Name of the clip.
        samples: (S,) Audio at 16 kHz.
        clean: The same speech without disturbance, where ``samples`` is a disturbed copy; None for audio without
            speech.
    """

    group: str
    name: str
    samples: Samples
    clean: Samples | None = None


@dataclasses.dataclass(frozen=True)
class Reaction:
    """Response of the lips; NaN where not applicable. Openings are in distances of the outer eye corners.

    Args:
        group: Group of the audio clip.
        name: Name of the audio clip.
        opening: Mean opening minus the portrait's.
        range: 95th minus 5th percentile of the opening.
        motion: Root mean square of the opening's change from frame to frame.
        pause_opening: Mean opening in the pauses of the speech, minus the portrait's.
        pause_motion: As ``motion``, in the pauses.
        lag: Frames by which the opening follows the level of the speech.
        agreement: Correlation of the opening with that for clean audio.
    """

    group: str
    name: str
    opening: float
    range: float
    motion: float
    pause_opening: float = np.nan
    pause_motion: float = np.nan
    lag: float = np.nan
    agreement: float = np.nan


class Listener:
    """A network together with the portrait that it moves: the mean face with its lips just closed.

    Args:
        network: Regressor of the expression.
        encoder: Its speech encoder; None for a network that reads the mel alone.
    """

    def __init__(self, network: ExpressionRegressor, encoder: SpeechEncoder | None = None) -> None:
        self.lips = PredictedLips(network, encoder)
        self.portrait = expression_for(self.lips.face, {"mouth_opening": CLOSED}, relative=False).float()

    def opening(self, samples: Samples) -> NDArray[np.float64]:
        """Opening of the lips minus the portrait's, (T,), negative where the lips intersect."""
        return self.lips.opening(samples, self.portrait) - CLOSED

    def react(self, clip: AudioClip) -> Reaction:
        """Run the network on an audio clip and measure the lips."""
        opening = self.opening(clip.samples)
        low, high = np.percentile(opening, (5, 95))
        whole = Reaction(clip.group, clip.name, float(opening.mean()), float(high - low), _motion(opening))
        if clip.clean is None:
            return whole
        pauses = silent_frames(torch.from_numpy(clip.clean)).numpy()
        if pauses.any():
            still = _motion(opening, pauses[1:] & pauses[:-1])
            whole = dataclasses.replace(whole, pause_opening=float(opening[pauses].mean()), pause_motion=still)
        series = [torch.from_numpy(values) for values in (opening, loudness(clip.clean), self.opening(clip.clean))]
        lag, _ = best_lag(lagged_pearson(series[0], series[1], max_lag=LONGEST_LAG))
        return dataclasses.replace(whole, lag=float(lag), agreement=float(pearson(series[0], series[2])))


def _motion(opening: NDArray[np.float64], kept: NDArray[np.bool_] | slice = slice(None)) -> float:
    """Root mean square of the change from frame to frame."""
    steps = np.diff(opening)[kept]
    return float(np.sqrt(np.mean(np.square(steps)))) if len(steps) else np.nan


def loudness(samples: Samples) -> NDArray[np.float64]:
    """Level of each frame in decibels, (T,), clipped far below the loud frames."""
    power = np.square(samples.astype(np.float64)).reshape(-1, SAMPLES_PER_FRAME).mean(axis=1)
    decibels = 10 * np.log10(power + 1e-12)
    return np.maximum(decibels, np.percentile(decibels, 90) - _ENERGY_DECIBELS)


def non_speech_audio() -> Iterator[AudioClip]:
    """Audio without speech."""
    count = int(SECONDS * SAMPLE_RATE)
    yield AudioClip("digital silence", "", np.zeros(count, np.float32))
    for colour in ("white", "pink"):
        for level in (-70, -50, -26):
            yield AudioClip(f"{colour} noise {level} dB", "", at_level(noise(colour, count), level))
    for made in (hum, music, clicks):
        yield AudioClip(made.__name__, "", at_level(made(count), SPEECH_LEVEL))


def voices(folder: Path | None) -> dict[str, Samples]:
    """Clean speech by name: the synthetic voices, and the recordings of a folder."""
    found = {
        f"made {language}": synthesize_speech(text, language=language).samples for language, text in SENTENCES.items()
    }
    if folder is not None:
        found |= {path.stem: load_audio(path) for path in sorted(folder.glob("*.wav"))}
    return {
        name: at_level(fit_length(samples, len(samples) // SAMPLES_PER_FRAME), SPEECH_LEVEL)
        for name, samples in found.items()
    }


def speech_audio(speech: dict[str, Samples]) -> Iterator[AudioClip]:
    """Each voice alone, surrounded by silence, and in noise."""
    silence = np.zeros(3 * FRAME_RATE * SAMPLES_PER_FRAME, np.float32)
    for name, samples in speech.items():
        yield AudioClip("synthetic speech" if name.startswith("made ") else "recorded speech", name, samples, samples)
        framed = np.concatenate([silence, samples, silence])
        yield AudioClip("3 s of silence around", name, framed, framed)
        for colour in ("white", "pink"):
            disturbance = noise(colour, len(framed), len(name))
            for ratio in NOISE_RATIOS:
                noisy = np.clip(framed + at_level(disturbance, SPEECH_LEVEL - ratio), -1, 1)
                yield AudioClip(f"{colour} noise at {ratio} dB", name, noisy, framed)


def table(reactions: Sequence[Reaction], *, each: str = "") -> str:
    """Table of groups (their medians), or of each clip of one group."""
    spoken = [reaction for reaction in reactions if reaction.group in ("synthetic speech", "recorded speech")]
    scale = {key: float(np.median([getattr(voice, key) for voice in spoken])) for key in ("range", "motion")}
    units = {
        "opening": "range",
        "range": "range",
        "motion": "motion",
        "pause_opening": "range",
        "pause_motion": "motion",
    }
    rows: dict[str, list[Reaction]] = {}
    for reaction in reactions:
        if not each or reaction.group == each:
            rows.setdefault(reaction.name if each else reaction.group, []).append(reaction)
    lines = []
    for name, members in rows.items():
        cells = []
        for key in (*units, "lag", "agreement"):
            values = [getattr(member, key) for member in members]
            value = float(np.nanmedian(values)) if not np.isnan(values).all() else np.nan
            number = f"{100 * value / scale[units[key]]:.0f}" if key in units else f"{value:.2f}"
            cells.append("" if np.isnan(value) else number)
        lines.append([name, *cells, len(members)])
    return markdown_table(HEADER, lines)


def main() -> None:
    """Run all audio clips and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--weights",
        default="mel",
        help="mel or whisper (packaged), or a run folder, .ckpt or .safetensors.",
    )
    parser.add_argument("--speech-encoder", help="Speech encoder of the network (default: the fetched one).")
    parser.add_argument("--speech", type=Path, help="Folder of recordings (wav).")
    parser.add_argument("--output", type=Path, help="JSON file for every response.")
    arguments = parser.parse_args()
    lips = open_lips(arguments.weights, arguments.speech_encoder)
    listener = Listener(lips.network, lips.encoder)
    reactions = [listener.react(clip) for clip in (*non_speech_audio(), *speech_audio(voices(arguments.speech)))]
    print(table(reactions))
    for group in ("synthetic speech", "recorded speech"):
        if any(reaction.group == group for reaction in reactions):
            print(f"\n{table(reactions, each=group)}")
    if arguments.output:
        arguments.output.write_text(json.dumps([dataclasses.asdict(reaction) for reaction in reactions], indent=1))


if __name__ == "__main__":
    main()
