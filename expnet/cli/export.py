"""``expnet export``: turn a checkpoint into a folder to share."""

from __future__ import annotations

import argparse

from expnet.cli.arguments import Commands, add_command


def add_export_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet export``."""
    parser = add_command(
        commands, "export", run_export, "turn a checkpoint into a folder to share: weights, configuration, model card"
    )
    parser.add_argument(
        "--checkpoint", required=True, metavar="FILE", help="run folder, .ckpt, .safetensors, or a SadTalker file"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--task", choices=["expression", "pose"], help="which network of a file that holds both")
    parser.add_argument(
        "--onnx", action="store_true", help="also write ONNX graphs, and compare their output with the network's"
    )


def run_export(arguments: argparse.Namespace) -> None:
    """Export the network."""
    from expnet.export.model_folder import export_model

    print(export_model(arguments.checkpoint, arguments.output, task=arguments.task, onnx=arguments.onnx))
