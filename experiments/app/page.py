"""The page: its three tabs, which pass on what visitors choose and show what comes back.

Whatever is computed stands in the other modules of this package. Gradio is imported here and in
`tabs` alone.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from experiments.app import forecasts, markup, samples, which
from experiments.app.tabs import runs as runs_tab
from experiments.app.tabs import siren as siren_tab
from experiments.app.tabs import which as which_tab
from experiments.app.tabs.shared import Shared


class Page:
    """The page and what its visitors share."""

    def __init__(self, folder: Path, gallery: str, run_dirs: dict[str, Path]) -> None:
        """Take the folder for temporary files, the gallery's path, and the runs by name."""
        self.shared = Shared(folder, gallery, run_dirs)
        self.which = which_tab.WhichTab(self.shared)
        self.siren = siren_tab.SirenTab(self.shared)
        self.runs = runs_tab.RunsTab(self.shared)

    def build(self) -> Any:
        """Return the page as Gradio's Blocks."""
        with gr.Blocks(title="jaxfleet", analytics_enabled=False, fill_width=True) as blocks:
            gr.HTML(markup.INTRODUCTION)
            with gr.Tabs(overflow_behavior="wrap"):
                with gr.Tab("Which upscaler?", id="which"):
                    self.which.build()
                with gr.Tab("What will a SIREN reach?", id="siren"):
                    self.siren.build()
                with gr.Tab("Runs", id="runs") as tab:
                    self.runs.build(tab)
            blocks.unload(self.leave)
        return blocks.queue(default_concurrency_limit=4, max_size=100, api_open=False)

    def warm_up(self) -> None:
        """Load and compile what the first answers need."""
        image, _ = (samples.pixels(name) for name in ("astronaut", samples.ENLARGED))
        gallery = which.open_gallery(self.shared.gallery)
        gallery.compared(image, gallery.identify(image).state)
        for known in forecasts.with_more(forecasts.subject(image, 32)):
            self.siren.narrow(known, *[None] * len(forecasts.LIMITS), *siren_tab.KNOBS)

    def leave(self, request: gr.Request) -> None:
        """Stop all that a visitor who has left has going on, and forget what was found."""
        self.shared.stops.stop_all(request.session_hash)
        self.which.desks.pop(request.session_hash, None)
        self.siren.leave(request.session_hash)
