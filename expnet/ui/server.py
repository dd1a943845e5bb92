"""The addresses of the page, and who may use them."""

import asyncio
import ipaddress
import logging
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources, util
from io import BytesIO
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware
from jinja2 import Environment, StrictUndefined
from PIL import Image

from expnet import __version__
from expnet.animate.animator import Animator
from expnet.audio.speech_synthesis import LANGUAGES
from expnet.errors import ExpnetError, InputError
from expnet.ui.form import form
from expnet.ui.jobs import COEFFICIENTS, VIDEO, Job, Workshop
from expnet.ui.uploads import Limits, receive

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

WORKSHOP = web.AppKey("workshop", Workshop)
_PAGES = web.AppKey("pages", dict[str, tuple[str, str]])
# Nothing on the page comes from anywhere but here, and nothing of it may be framed by another page.
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
    """Take an address, before any work is done.

    Args:
        host: name or number of one of this machine's addresses.
        port: likewise; 0 for a free one.

    Raises:
        InputError: the address cannot be used.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError(
            f"{host}:{port} cannot be listened on ({error.strerror}); choose another --port, or leave --host out."
        ) from error


def serve(animator: Animator, listening: socket.socket, *, limits: Limits, announce: Callable[[str], object]) -> None:
    """Serve the page until it is interrupted, then remove every file it kept.

    Args:
        animator: whose networks make the videos.
        listening: of :func:`listen`.
        limits: what is accepted.
        announce: told the page's address once it can be opened.
    """
    host, port = listening.getsockname()[:2]
    if not is_loopback(host):
        logger.warning(
            "%s is not this machine alone: everybody who reaches it can use the page, and nothing asks for a password.",
            host,
        )
    with tempfile.TemporaryDirectory(prefix="expnet-ui-") as folder:
        application = build(Workshop(animator, Path(folder), limits), any_name=not is_loopback(host))
        announce(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        web.run_app(application, sock=listening, print=None, access_log=None)


def build(workshop: Workshop, *, any_name: bool = False) -> web.Application:
    """Put the page together.

    Args:
        workshop: makes the videos; closed with the application.
        any_name: answer whatever name the page was called by; else only those of this machine, so that no web site
            can reach the page by giving its own name this machine's address.
    """
    application = web.Application(middlewares=[_protected(any_name)])
    application[WORKSHOP] = workshop
    application[_PAGES] = _pages(workshop)
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
    application.cleanup_ctx.append(_swept)
    return application


def is_loopback(host: str) -> bool:
    """Whether an address means this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _protected(any_name: bool) -> Middleware:
    @web.middleware
    async def protect(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer only to this machine's names and to our own page; say errors in one sentence."""
        name = request.url.host or ""
        origin = request.headers.get("Origin")
        if not (any_name or is_loopback(name)):
            response: web.StreamResponse = _sentence(f"{name} is no name of this machine.", 403)
        elif origin is not None and origin.partition("://")[2] != request.host:
            response = _sentence("Another web site may not use this page.", 403)
        else:
            try:
                response = await handler(request)
            except ExpnetError as error:
                response = _sentence(str(error), 400)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    return protect


def _sentence(message: str, status: int) -> web.Response:
    return web.json_response({"error": message}, status=status)


def _pages(workshop: Workshop) -> dict[str, tuple[str, str]]:
    """Name -> content and type of the page's three files."""
    folder = resources.files("expnet.ui")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string((folder / "page.html").read_text(encoding="utf-8")).render(
        fields=form(workshop.animator.styles),
        limits=workshop.limits,
        length=_length(workshop.limits.seconds),
        speech=util.find_spec("espeakng_loader") is not None,
        languages=LANGUAGES,
        version=__version__,
    )
    return {
        "": (page, "text/html"),
        "page.css": ((folder / "page.css").read_text(encoding="utf-8"), "text/css"),
        "page.js": ((folder / "page.js").read_text(encoding="utf-8"), "text/javascript"),
    }


def _length(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 120 and seconds % 60 == 0 else f"{seconds:g} seconds"


async def _static(request: web.Request) -> web.Response:
    text, kind = request.app[_PAGES][request.match_info.get("name", "")]
    return web.Response(text=text, content_type=kind, charset="utf-8")


async def _example(_: web.Request) -> web.Response:
    """A portrait to try the page with: the astronaut Eileen Collins, a NASA picture that comes with scikit-image."""
    from skimage.data import astronaut

    stream = BytesIO()
    Image.fromarray(astronaut()[:400, 40:440]).save(stream, format="JPEG", quality=92)
    return web.Response(body=stream.getvalue(), content_type="image/jpeg")


async def _start(request: web.Request) -> web.Response:
    if not request.content_type.startswith("multipart/"):
        raise InputError("The form could not be read; load the page again.")
    workshop = request.app[WORKSHOP]
    job = workshop.open()
    try:
        upload = await receive(await request.multipart(), job.folder, workshop.limits)
    except BaseException:
        # Refused, or the page was closed while it sent: nothing of it stays.
        job.state = "failed"
        workshop.discard(job)
        raise
    workshop.begin(job, upload)
    return web.json_response(job.status(), status=202)


def _job(request: web.Request) -> Job:
    job = request.app[WORKSHOP].find(request.match_info["id"])
    if job is None:
        raise web.HTTPNotFound(text='{"error": "This video is not here any more."}', content_type="application/json")
    return job


async def _status(request: web.Request) -> web.Response:
    return web.json_response(_job(request).status())


async def _discard(request: web.Request) -> web.Response:
    request.app[WORKSHOP].discard(_job(request))
    return web.Response(status=204)


async def _download(request: web.Request) -> web.StreamResponse:
    job, name = _job(request), request.match_info["name"]
    if job.state != "done":
        return _sentence("This video is not done.", 409)
    return web.FileResponse(job.folder / name, headers={**_HEADERS, "Content-Type": _DOWNLOADS[name]})


async def _swept(application: web.Application) -> AsyncIterator[None]:
    """Sweep while the page is served, close the workshop afterwards."""
    workshop = application[WORKSHOP]

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            workshop.sweep()

    task = asyncio.create_task(sweep())
    yield
    task.cancel()
    await asyncio.to_thread(workshop.close)
