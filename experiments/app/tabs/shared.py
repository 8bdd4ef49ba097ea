"""What the tabs have in common."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr

from experiments.app.turns import Stops, Turns

Steps = Iterator[Any]  # what an event shows, one after the other
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
AGAIN: dict[str, Any] = {**QUIET, "trigger_mode": "multiple"}  # also while it goes on
AT_ONCE: dict[str, Any] = {**QUIET, "queue": False}
EMPTY: dict[str, Any] = {**QUIET, "js": "() => [null]"}  # a place, in the browser
OFF: Any = gr.update(interactive=False, value=None)


@dataclass
class Shared:
    """What all visitors and tabs share.

    Attributes:
        folder: for temporary files.
        gallery: path of the gallery.
        run_dirs: runs by name.
        turns: who trains when.
        stops: what visitors have going on.
    """

    folder: Path
    gallery: str
    run_dirs: dict[str, Path]
    turns: Turns = field(default_factory=Turns)
    stops: Stops = field(default_factory=Stops)

    def new_folder(self) -> Path:
        """Make a folder for files to be downloaded."""
        return Path(mkdtemp(dir=self.folder))


def download(path: Path) -> Any:
    """Return what makes a button download a file."""
    return gr.update(interactive=True, value=str(path))
