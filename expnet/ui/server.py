"""The HTTP server of the page: its routes, and who may use them."""

import asyncio
import ipaddress
import logging
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib import util
from io import BytesIO
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware
from PIL import Image

from expnet import __version__
from expnet.animate.animator import Animator
from expnet.audio.speech_synthesis import LANGUAGES
from expnet.errors import ExpnetError, InputError, MachineError
from expnet.io.html_template import html_template, packaged_text
from expnet.io.machine_faults import is_machine_fault, machine_error
from expnet.ui.form import form
from expnet.ui.jobs import COEFFICIENTS, VIDEO, Job, JobRunner
from expnet.ui.renderers import OfferedRenderer
from expnet.ui.uploads import Limits, receive

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

RUNNER = web.AppKey("runner", JobRunner)
_PAGES = web.AppKey("pages", dict[str, tuple[str, str]])
# The page loads nothing from other hosts, and other pages may not embed it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_DOWNLOADS = {VIDEO: "video/mp4", COEFFICIENTS: "application/octet-stream"}
_SWEEP_SECONDS = 60.0


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket, before any work is done.

    Args:
        host: Name or IP address of this machine.
        port: Port number; 0 for any free one.

    Raises:
        InputError: The address cannot be used.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another --port, or leave --host out."
        ) from error


def serve(
    animator: Animator,
    listening: socket.socket,
    *,
    limits: Limits,
    announce: Callable[[str], object],
    renderers: Sequence[OfferedRenderer] = (),
) -> None:
    """Serve the page until it is interrupted, then remove all its files.

    Args:
        animator: Animator that makes the videos.
        listening: Socket from :func:`listen`.
        limits: Limits of uploads.
        announce: Called with the page's address once it can be opened.
        renderers: Renderers to choose from; the first one is the animator's own.
    """
    host, port = listening.getsockname()[:2]
    if not is_loopback(host):
        logger.warning(
            "%s is reachable from other machines: anybody who can reach it can use the page without a password.",
            host,
        )
    with tempfile.TemporaryDirectory(prefix="expnet-ui-") as folder:
        application = build(
            JobRunner(animator, Path(folder), limits, renderers=renderers), any_name=not is_loopback(host)
        )
        announce(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        web.run_app(application, sock=listening, print=None, access_log=None)


def build(runner: JobRunner, *, any_name: bool = False) -> web.Application:
    """Build the web application.

    Args:
        runner: Makes the videos; closed with the application.
        any_name: Accept requests for any host name. By default only this machine's own names are accepted, so that no
            web site can reach the page by resolving its name to this machine (DNS rebinding).
    """
    application = web.Application(middlewares=[_protected(any_name)])
    application[RUNNER] = runner
    application[_PAGES] = _pages(runner)
    application.add_routes(
        [
            web.get("/", _static),
            web.get("/{name:page\\.css|page\\.js}", _static),
            web.get("/example.jpg", _example),
            web.post("/jobs", _start),
            web.get("/jobs/{id}", _status),
            web.delete("/jobs/{id}", _discard),
            web.get("/jobs/{id}/{name:video\\.mp4|coefficients\\.npz}", _download),
        ]
    )
    application.cleanup_ctx.append(_sweep_regularly)
    return application


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached only from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _protected(any_name: bool) -> Middleware:
    @web.middleware
    async def protect(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Accept only this machine's names and requests from our own page; report errors as one sentence."""
        name = request.url.host or ""
        origin = request.headers.get("Origin")
        if not (any_name or is_loopback(name)):
            response: web.StreamResponse = _error_response(f"{name} is not a name of this machine.", 403)
        elif origin is not None and origin.partition("://")[2] != request.host:
            response = _error_response("Another web site may not use this page.", 403)
        else:
            try:
                response = await handler(request)
            except MachineError as error:
                response = _error_response(str(error), 507)
            except ExpnetError as error:
                response = _error_response(str(error), 400)
            except OSError as error:
                if not is_machine_fault(error):
                    raise
                response = _error_response(str(machine_error(error)), 507)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    return protect


def _error_response(message: str, status: int) -> web.Response:
    return web.json_response({"error": message}, status=status)


def _pages(runner: JobRunner) -> dict[str, tuple[str, str]]:
    """Return content and type of the page's three files, by name."""
    page = html_template("expnet.ui", "page.html").render(
        fields=form(runner.animator.styles, runner.animator.default_motion, runner.renderers),
        limits=runner.limits,
        length=_length(runner.limits.seconds),
        speech=util.find_spec("espeakng_loader") is not None,
        languages=LANGUAGES,
        version=__version__,
    )
    return {
        "": (page, "text/html"),
        "page.css": (packaged_text("expnet.ui", "page.css"), "text/css"),
        "page.js": (packaged_text("expnet.ui", "page.js"), "text/javascript"),
    }


def _length(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 120 and seconds % 60 == 0 else f"{seconds:g} seconds"


async def _static(request: web.Request) -> web.Response:
    text, kind = request.app[_PAGES][request.match_info.get("name", "")]
    return web.Response(text=text, content_type=kind, charset="utf-8")


async def _example(_: web.Request) -> web.Response:
    """Return a portrait to try the page with: the astronaut Eileen Collins, a NASA photograph from scikit-image."""
    from skimage.data import astronaut

    stream = BytesIO()
    Image.fromarray(astronaut()[:400, 40:440]).save(stream, format="JPEG", quality=92)
    return web.Response(body=stream.getvalue(), content_type="image/jpeg")


async def _start(request: web.Request) -> web.Response:
    if not request.content_type.startswith("multipart/"):
        raise InputError("The form could not be read; load the page again.")
    runner = request.app[RUNNER]
    job = runner.open()
    try:
        upload = await receive(await request.multipart(), job.folder, runner.limits)
    except BaseException:
        # The upload was refused, or the page was closed while sending: nothing is kept.
        job.state = "failed"
        runner.discard(job)
        raise
    runner.begin(job, upload)
    return web.json_response(job.status(), status=202)


def _job(request: web.Request) -> Job:
    job = request.app[RUNNER].find(request.match_info["id"])
    if job is None:
        raise web.HTTPNotFound(text='{"error": "This video no longer exists."}', content_type="application/json")
    return job


async def _status(request: web.Request) -> web.Response:
    return web.json_response(_job(request).status())


async def _discard(request: web.Request) -> web.Response:
    request.app[RUNNER].discard(_job(request))
    return web.Response(status=204)


async def _download(request: web.Request) -> web.StreamResponse:
    job, name = _job(request), request.match_info["name"]
    if job.state != "done":
        return _error_response("This video is not finished.", 409)
    return web.FileResponse(job.folder / name, headers={**_HEADERS, "Content-Type": _DOWNLOADS[name]})


async def _sweep_regularly(application: web.Application) -> AsyncIterator[None]:
    """Sweep regularly while the page is served, and close the runner afterwards."""
    runner = application[RUNNER]

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            runner.sweep()

    task = asyncio.create_task(sweep())
    yield
    task.cancel()
    await asyncio.to_thread(runner.close)
