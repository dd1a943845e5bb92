"""``expnet ui``: serve a page that makes videos."""

from __future__ import annotations

import argparse
from importlib import util

from expnet.cli.arguments import Commands, add_command, add_network_options, add_tracker_option
from expnet.config.parts import allow_named, part_names
from expnet.errors import InputError, MissingAssetError


def add_ui_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet ui``."""
    parser = add_command(commands, "ui", run_ui, "serve a page on this machine that makes videos")
    parser.add_argument("--port", type=int, default=7861, help="port, 0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; any but this machine's own lets others use the page (default: %(default)s)",
    )
    parser.add_argument(
        "--max-seconds", type=float, default=300.0, metavar="SECONDS", help="longest speech (default: 300)"
    )
    parser.add_argument(
        "--renderer",
        default="mesh",
        metavar="NAME|RUN",
        help=f"renderer that the page starts with: {', '.join(part_names('renderers'))} or a trained one, as "
        "for expnet animate; it "
        "also offers those whose weights are here (default: mesh)",
    )
    add_network_options(parser)
    add_tracker_option(parser)


def run_ui(arguments: argparse.Namespace) -> None:
    """Serve the page until it is interrupted."""
    if util.find_spec("aiohttp") is None:
        raise MissingAssetError("expnet ui needs aiohttp: pip install 'expnet[ui]'.")
    if not 0 <= arguments.port <= 65535:
        raise InputError(f"--port {arguments.port}: expected a number from 0 (any free port) to 65535.")
    if not 1 <= arguments.max_seconds <= 3600:
        raise InputError(f"--max-seconds {arguments.max_seconds:g}: expected a number from 1 to 3600.")
    from expnet.animate.animator import Animator
    from expnet.ui.renderers import offered_renderers
    from expnet.ui.server import listen, serve
    from expnet.ui.uploads import Limits

    allow_named(arguments.renderer)
    with listen(arguments.host, arguments.port) as listening:
        animator = Animator(
            motion=arguments.motion,
            expression=arguments.expression,
            pose=arguments.pose,
            speech_encoder=arguments.speech_encoder,
            face_model=arguments.face_model,
            renderer=arguments.renderer,
            tracker=arguments.tracker,
        )
        limits, renderers = Limits(seconds=arguments.max_seconds), offered_renderers(arguments.renderer)
        serve(animator, listening, limits=limits, announce=_announce, renderers=renderers)


def _announce(address: str) -> None:
    print(f"The page is at {address}; press Ctrl+C to stop.", flush=True)
