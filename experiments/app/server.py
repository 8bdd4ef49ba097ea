"""The server of the page: who reaches it, and that nothing leaves this machine.

Gradio's telemetry is off, its fonts are those of the system, its way to fetch files from other
hosts is closed, and each answer carries a policy by which browsers load from this server alone.
"""

import contextlib
import hmac
import os
import shutil
import socket
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from experiments.app import runs, uploads
from experiments.app.config import AppConfig
from jaxfleet.errors import InputError

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")


def run(config: AppConfig) -> str:
    """Serve the page until the process is told to end.

    Raises:
        InputError: if Gradio is not installed, the port is taken, or a folder holds no run.
    """
    folder = Path(tempfile.mkdtemp(prefix="jaxfleet-app-"))
    try:
        app = make(config, folder)
        if config.dry_run:
            return "The page can be served."
        import uvicorn

        listener = _listen(config)
        host, port = listener.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        sys.stderr.write(f"The page is at {address}; Ctrl-C ends it.\n")
        sys.stderr.flush()
        uploads.sweep_always(folder)
        settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
        uvicorn.Server(settings).run(sockets=[listener])
        return "The page has ended."
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make(config: AppConfig, folder: Path) -> Any:
    """Return the ASGI application.

    Args:
        config: what is served.
        folder: for temporary files.

    Raises:
        InputError: as `run`.
    """
    run_dirs = runs.find(config.runs)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_SHARE", "GRADIO_MCP_SERVER"):
        os.environ[name] = "False"
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import fastapi
        import gradio
    except ImportError:
        raise InputError("launch/app.py needs Gradio: pip install 'jaxfleet[app]'") from None
    from experiments.app.page import Page

    _close_ways_out()
    page = Page(folder, config.gallery, run_dirs)

    @contextlib.asynccontextmanager
    async def life(app: Any) -> AsyncIterator[None]:
        threading.Thread(target=page.warm_up, daemon=True, name="warm-up").start()
        yield

    outer = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)

    @outer.post("/forecast")
    def forecast(
        key: Annotated[str, fastapi.Body()], asked: Annotated[list[float], fastapi.Body()]
    ) -> Any:
        return page.siren.ask(key, asked)

    gradio.mount_gradio_app(
        outer,
        page.build(),
        path="/",
        footer_links=[],
        run_history=False,
        auth=_check(config.password) if config.password else None,
        auth_message="Any user name goes with the password that the page was started with.",
        show_error=False,
        max_file_size=uploads.MAX_BYTES,
        ssr_mode=False,
        enable_monitoring=False,
        theme=gradio.themes.Default(
            primary_hue="blue",
            neutral_hue="slate",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ).set(  # text that can be read on its background: WCAG 2, level AA
            body_text_color_subdued="*neutral_600",
            body_text_color_subdued_dark="*neutral_300",
            button_primary_background_fill="*primary_700",
            button_primary_background_fill_dark="*primary_700",
            button_primary_background_fill_hover="*primary_800",
            button_primary_background_fill_hover_dark="*primary_800",
        ),
        css_paths=Path(__file__).with_name("style.css"),
        head=f"<script>{Path(__file__).with_name('folders.js').read_text()}</script>",
    )
    return Guard(outer, LOCAL_NAMES if config.is_local else ())


class Guard:
    """An ASGI application that refuses foreign names of this host and adds `HEADERS`.

    A page elsewhere whose name is made to mean this machine could otherwise read ours.
    """

    def __init__(self, app: Any, names: tuple[str, ...]) -> None:
        """Wrap an application; `names` are those that it may be asked by, () for any."""
        self.app, self.names = app, names

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if self.names and urllib.parse.urlsplit(f"//{host}").hostname not in self.names:
            await send({"type": "http.response.start", "status": 421, "headers": []})
            await send({"type": "http.response.body", "body": b"This page has another address."})
            return

        async def send_more(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self.app(scope, receive, send_more)


def _check(password: str) -> Any:
    """Return whether the password of a user is right, as Gradio asks it."""

    def is_right(user: str, given: str) -> bool:
        del user
        return hmac.compare_digest(given.encode(), password.encode())

    return is_right


def _close_ways_out() -> None:
    """Have Gradio refuse addresses in place of files, which it would fetch."""
    import safehttpx

    async def refuse(*args: Any, **settings: Any) -> Any:
        raise ValueError("This page fetches nothing from other hosts.")

    safehttpx.get = safehttpx.async_validate_url = refuse


def _listen(config: AppConfig) -> socket.socket:
    """Return a socket that listens where the flags say.

    Raises:
        InputError: if that is not possible.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        raise InputError(
            f"--host={config.host} --port={config.port}: {error.strerror or error}. Give another "
            "port, or --port=0 for any that is free."
        ) from None
