"""The page: its three tabs, which pass on what visitors choose and show what comes back.

Whatever is computed stands in the other modules of this package. Gradio is imported here alone.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr
import numpy as np

from experiments.app import forecasts, markup, runs, samples, training, uploads, which
from experiments.app.turns import Stops, Turns
from jaxfleet.errors import InputError

Steps = Iterator[Any]  # what an event shows, one after the other
KNOBS = (4, 24, 30.0, 1000, 1e-3)  # where the sliders stand at first; see `forecasts.trial_of`


class Page:
    """The page and what its visitors share."""

    def __init__(self, folder: Path, gallery: str, run_dirs: dict[str, Path]) -> None:
        """Take the folder for temporary files, the gallery's path, and the runs by name."""
        self.folder, self.gallery, self.run_dirs = folder, gallery, run_dirs
        self.turns, self.stops = Turns(), Stops()

    def build(self) -> Any:
        """Return the page as Gradio's Blocks."""
        with gr.Blocks(title="jaxfleet", analytics_enabled=False, fill_width=True) as blocks:
            gr.HTML(markup.INTRODUCTION)
            with gr.Tabs(overflow_behavior="wrap"):
                with gr.Tab("Which upscaler?", id="which"):
                    self._which_tab()
                with gr.Tab("What will a SIREN reach?", id="siren"):
                    self._siren_tab()
                with gr.Tab("Runs", id="runs") as tab:
                    self._runs_tab(tab)
            blocks.unload(self.leave)
        return blocks.queue(default_concurrency_limit=4, max_size=100, api_open=False)

    def warm_up(self) -> None:
        """Load and compile what the first answers need."""
        image, _ = (samples.pixels(name) for name in ("astronaut", samples.ENLARGED))
        gallery = which.open_gallery(self.gallery)
        gallery.compared(image, gallery.identify(image).state)
        for known in forecasts.with_more(forecasts.subject(image, 32)):
            self.narrow(known, *[None] * len(forecasts.LIMITS), *KNOBS)

    def leave(self, request: gr.Request) -> None:
        """Stop all that a visitor who has left has going on."""
        self.stops.stop_all(request.session_hash)

    def _new_folder(self) -> Path:
        return Path(mkdtemp(dir=self.folder))

    # ---------------------------------------------------------------------- Which upscaler?

    def _which_tab(self) -> None:
        gallery, kept = gr.State(self.gallery), gr.State([])
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                files = gr.File(label=f"Pictures ({uploads.AT_MOST})", file_count="multiple",
                                height=150, elem_id="pictures")  # fmt: skip
                errors = gr.HTML()
                sample = gr.Dropdown(samples.names(), value=None, label="Or take a sample")
                status = gr.HTML()
                cancel = gr.Button("Cancel")
                with gr.Row():
                    as_json = gr.DownloadButton("Download JSON", interactive=False)
                    as_page = gr.DownloadButton("Download report", interactive=False)
                    as_pdf = gr.DownloadButton("Download PDF", interactive=False)
                with gr.Accordion("Enrol a network", open=False):
                    gr.HTML("<p>Drop 20 or more pictures that a network made, of different "
                            "photographs. The network is then compared with for as long as this "
                            "page is open.</p>")  # fmt: skip
                    own_name = gr.Textbox(label="Name of the network", max_lines=1)
                    own = gr.File(label="Pictures by the network", file_count="multiple",
                                  height=150, elem_id="own")  # fmt: skip
                    add = gr.Button("Enrol")
                    added = gr.HTML()
                    own_gallery = gr.DownloadButton("Download gallery", interactive=False)
            with gr.Column(scale=3, min_width=300):
                answers = gr.HTML("<p>The answers will stand here.</p>")
        outputs = [status, errors, answers, as_json, as_page, as_pdf]
        files.upload(self.examine, [files, gallery], outputs, **_AGAIN)
        files.upload(_empty, None, files, **_AT_ONCE)
        sample.input(self.examine_sample, [sample, gallery], outputs, **_AGAIN)
        cancel.click(self.stop_which, **_AT_ONCE)
        own.upload(self.keep, own, [kept, added], **_QUIET)
        own.upload(_empty, None, own, **_AT_ONCE)
        add.click(self.enrol, [own_name, kept, gallery], [added, gallery, own_gallery], **_QUIET)

    def examine(self, paths: list[str] | None, gallery: str, request: gr.Request) -> Steps:
        """Answer for dropped files."""
        stop = self.stops.begin(request.session_hash, "which")
        for now in which.examine_all(gallery, paths or [], stop):
            if self.stops.is_superseded(request.session_hash, "which", stop):
                return
            yield now.status, now.errors, "".join(now.shown), _OFF, _OFF, _OFF
        if now.shown:
            files = which.save(self._new_folder(), gallery, now)
            yield gr.skip(), gr.skip(), gr.skip(), *(_download(one) for one in files)

    def examine_sample(self, name: str, gallery: str, request: gr.Request) -> Steps:
        """Answer for a sample."""
        yield markup.status("Preparing the sample", 0.0), "", *[gr.skip()] * 4
        yield from self.examine([str(samples.save(name, self.folder))], gallery, request)

    def keep(self, paths: list[str]) -> tuple[list[str], str]:
        """Keep the dropped pictures of a network for `enrol`."""
        return paths, markup.status(f"Pictures ready to enrol: {len(paths)}.")

    def enrol(self, name: str, paths: list[str], gallery: str, request: gr.Request) -> Steps:
        """Add a network to the visitor's gallery."""
        stop = self.stops.begin(request.session_hash, "which")
        target = self._new_folder() / "gallery.safetensors"
        try:
            for said, done in which.enrol(gallery, name.strip(), paths, target):
                yield markup.status(said, done if done < 1 else None), gr.skip(), gr.skip()
                if stop.is_set():
                    yield markup.status("Cancelled."), gr.skip(), gr.skip()
                    return
        except InputError as error:
            yield markup.error(str(error)), gr.skip(), gr.skip()
        else:
            yield gr.skip(), str(target), _download(target)

    def stop_which(self, request: gr.Request) -> None:
        """Stop what the visitor has going on in this tab."""
        self.stops.stop(request.session_hash, "which")

    # -------------------------------------------------------------- What will a SIREN reach?

    def _siren_tab(self) -> None:
        pixels, known = gr.State(None), gr.State(None)
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                file = gr.File(label=f"Picture ({uploads.AT_MOST})", height=150, elem_id="picture")
                error = gr.HTML()
                sample = gr.Dropdown(samples.names()[1:], value=None, label="Or take a sample")
                side = gr.Slider(16, 768, 128, step=16, label="Longer side to fit, in pixels")
                depth = gr.Slider(1, 13, KNOBS[0], step=1, label="Depth: sine layers")
                width = gr.Slider(4, 64, KNOBS[1], step=1, label="Width: units of a layer")
                w0 = gr.Slider(5, 70, KNOBS[2], step=0.5, label="w0_initial of the first layer")
                updates = gr.Slider(100, 100_000, KNOBS[3], step=100, label="Iterations of Adam")
                rate = gr.Slider(1e-4, 5e-3, KNOBS[4], step=1e-4, label="Learning rate of Adam")
                with gr.Accordion("Limits: 0 limits nothing"):
                    with gr.Row():
                        limits = [
                            gr.Number(0, label=label, minimum=0, min_width=130)
                            for label in forecasts.LIMITS.values()
                        ]
                    find = gr.Button("Find the best network within these limits")
                    advice = gr.HTML()
                with gr.Row():
                    go = gr.Button("Fit it now", variant="primary")
                    halt = gr.Button("Stop")
                with gr.Row():
                    weights = gr.DownloadButton("Download weights", interactive=False)
                    coded = gr.DownloadButton("Download file of the codec", interactive=False)
            with gr.Column(scale=3, min_width=300):
                said = gr.HTML("<p>Drop a picture, or take a sample.</p>")
                with gr.Row(elem_classes="charts"):
                    curve, sizes = gr.HTML(), gr.HTML()
                status, view = gr.HTML(), gr.HTML()
        best = gr.Dataframe(label="Networks that no other one beats in size, time and PSNR, within "
                            "the limits; choose a row to set the sliders", visible=False,
                            interactive=False, max_height=320, elem_id="best")  # fmt: skip
        knobs, outlook = [depth, width, w0, updates, rate], [said, curve, sizes]
        asked = [*limits, *knobs]
        loaded = [error, pixels, known, best, *outlook]
        file.upload(self.load, [file, side, *asked], loaded, **_AGAIN)
        file.upload(_empty, None, file, **_AT_ONCE)
        sample.input(self.load_sample, [sample, side, *asked], loaded, **_AGAIN)
        side.release(self.resize, [pixels, side, *asked], loaded, **_AGAIN)
        for knob in knobs:
            knob.change(self.forecast, [known, *asked], outlook, **_AT_ONCE,
                        trigger_mode="always_last")  # fmt: skip
        for limit in limits:
            limit.change(self.narrow, [known, *asked], [best, *outlook], **_AT_ONCE,
                         trigger_mode="always_last")  # fmt: skip
            limit.change(_empty, None, advice, **_AT_ONCE)
        for taken in (file.upload, sample.input):
            for left in (advice, status):  # of the picture before
                taken(_empty, None, left, **_AT_ONCE)
        find.click(self.recommend, [known, *asked], [advice, *knobs], **_QUIET)
        best.select(self.choose, None, knobs, **_AT_ONCE)
        go.click(self.fit, [known, *knobs], [status, curve, view, weights, coded],
                 concurrency_limit=None, **_QUIET)  # fmt: skip
        halt.click(self.stop_siren, **_AT_ONCE)

    def load(self, path: str | None, side: float, request: gr.Request, *asked: Any) -> Steps:
        """Take a dropped picture."""
        try:
            pixels = None if path is None else uploads.read(path)
        except InputError as error:
            yield markup.error(str(error)), *[gr.skip()] * 6
            return
        yield from self.resize(pixels, side, request, *asked)

    def load_sample(self, name: str, side: float, request: gr.Request, *asked: Any) -> Steps:
        """Take a sample."""
        yield from self.resize(samples.pixels(name), side, request, *asked)

    def resize(
        self, pixels: np.ndarray | None, side: float, request: gr.Request, *asked: Any
    ) -> Steps:
        """Forecast for a picture at the size at which it is fitted, then draw what else there is.

        Args:
            pixels: the picture; None before there is one.
            side: to which it is shrunk.
            request: of the visitor, whose next picture ends this.
            *asked: the limits and the sliders.
        """
        if pixels is None:
            yield [gr.skip()] * 7
            return
        stop = self.stops.begin(request.session_hash, "picture")
        try:
            known = forecasts.subject(pixels, int(side))
        except InputError as error:
            yield markup.error(str(error)), *[gr.skip()] * 6
            return
        yield "", pixels, known, *self.narrow(known, *asked)
        for more in forecasts.with_more(known):
            if stop.is_set():
                return
            yield gr.skip(), gr.skip(), more, *self.narrow(more, *asked)

    def narrow(self, known: forecasts.Subject | None, *asked: Any) -> tuple[Any, Any, Any, Any]:
        """List the best networks within the limits, and forecast as `forecast` does."""
        if known is None:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        table = gr.skip()
        if known.best is not None:
            rows = forecasts.best_networks(known.best, _limits(asked))
            table = gr.update(visible=True, value=rows)
        return table, *self.forecast(known, *asked)

    def forecast(self, known: forecasts.Subject | None, *asked: Any) -> tuple[Any, Any, Any]:
        """Forecast for the network that the sliders describe."""
        if known is None:
            return gr.skip(), gr.skip(), gr.skip()
        found = forecasts.outlook(known, _trial(asked))
        return (
            forecasts.describe(found, known.curves),
            forecasts.learning_curve(found),
            forecasts.size_chart(found, known, _limits(asked)),
        )

    def recommend(self, known: forecasts.Subject | None, *asked: Any) -> tuple[Any, ...]:
        """Set the sliders to the best network within the limits."""
        try:
            if known is None:
                raise InputError("Drop a picture first, or take a sample.")
            best, said = forecasts.recommend(known, _trial(asked), _limits(asked))
        except InputError as error:
            return markup.error(str(error)), *[gr.skip()] * 5
        return markup.status(said), *forecasts.knobs_of(best)

    def choose(self, event: gr.SelectData) -> list[float]:
        """Set the sliders to the network of the chosen row."""
        return [float(value) for value in event.row_value[: len(KNOBS)]]

    def fit(
        self,
        known: forecasts.Subject | None,
        depth: float,
        width: float,
        w0: float,
        updates: float,
        rate: float,
        request: gr.Request,
    ) -> Steps:
        """Train the network that the sliders describe, when it is the visitor's turn."""
        if known is None:
            yield markup.error("Drop a picture first, or take a sample."), *[gr.skip()] * 4
            return
        trial = forecasts.trial_of(depth, width, w0, updates, rate)
        found, now = forecasts.outlook(known, trial), None
        stop = self.stops.begin(request.session_hash, "siren")
        yield markup.status("Starting", 0.0), gr.skip(), "", _OFF, _OFF
        for step in self.turns.take(training.train(known.image, trial), stop):
            if isinstance(step, int):
                yield markup.status(f"Waiting: {step} before you", 0.0), *[gr.skip()] * 4
                continue
            now = step
            curve = forecasts.learning_curve(found, now.history)
            yield training.describe(now), curve, training.show(now), gr.skip(), gr.skip()
        if now is None:
            yield markup.status("Stopped."), *[gr.skip()] * 4
            return
        folder = self._new_folder()
        ended = training.describe(now, stopped=stop.is_set())
        yield ended, gr.skip(), gr.skip(), _download(training.save_weights(now, folder)), _OFF
        path, said = training.save_file(now, folder)
        yield ended + markup.status(said), *[gr.skip()] * 3, _download(path)

    def stop_siren(self, request: gr.Request) -> None:
        """Stop what the visitor has going on in this tab."""
        self.stops.stop(request.session_hash, "siren")

    # --------------------------------------------------------------------------------- Runs

    def _runs_tab(self, tab: Any) -> None:
        if not (names := list(self.run_dirs)):
            gr.HTML(markup.NO_RUNS)
            return
        with gr.Row():
            run = gr.Dropdown(names, value=names[0], label="Run")
            other = gr.Dropdown(names, value=None, label="Compare with")
        error = gr.HTML()
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                rows = gr.Dataframe(label="Networks, best first; choose a row to see its picture",
                                    show_search="filter", interactive=False, max_height=420,
                                    elem_id="rows")  # fmt: skip
                with gr.Row():
                    trial = gr.Number(label="Trial to draw", precision=0, minimum=0)
                    draw = gr.Button("Draw it")
            with gr.Column(scale=2, min_width=300):
                picture = gr.HTML()
                facts = gr.HTML()
        with gr.Accordion("Report of the run", open=False):
            report = gr.HTML()
        compared = gr.HTML()
        difference = gr.Dataframe(label="Designs in both runs", visible=False, interactive=False)
        shown = [error, rows, facts, report, picture]
        run.input(self.open_run, [run], shown, **_QUIET)
        gr.on(
            [other.input, run.input], self.compare, [run, other], [compared, difference], **_QUIET
        )
        draw.click(self.draw, [run, trial], [error, picture], **_QUIET)
        rows.select(self.draw_row, [run], [error, trial, picture], **_QUIET)
        tab.select(self.open_run, [run], shown, **_QUIET)  # not before: hidden parts miss it

    def open_run(self, name: str) -> tuple[Any, ...]:
        """Show the table, the facts and the report of a run."""
        run_dir, said = self.run_dirs[name], list[str]()
        table, facts, report = None, "", ""
        try:
            table = runs.table(run_dir)
            facts = runs.describe(run_dir, table)
        except InputError as error:
            said.append(markup.error(str(error)))
        try:
            report = runs.report(run_dir)
        except InputError as error:
            report = markup.error(str(error))
        return "".join(said), table, facts, report, ""

    def draw(self, name: str, trial_id: float) -> tuple[Any, Any]:
        """Draw the network of a trial."""
        try:
            pixels, said = runs.picture(self.run_dirs[name], int(trial_id or 0))
        except InputError as error:
            return markup.error(str(error)), ""
        return "", markup.captioned(pixels, said)

    def draw_row(self, name: str, event: gr.SelectData) -> tuple[Any, Any, Any]:
        """Draw the network of the chosen row."""
        trial_id = int(event.row_value[0])
        error, picture = self.draw(name, trial_id)
        return error, trial_id, picture

    def compare(self, name: str, other: str | None) -> tuple[Any, Any]:
        """Compare two runs."""
        if not other:
            return "", gr.update(visible=False)
        try:
            said, rows = runs.compare(self.run_dirs[name], self.run_dirs[other])
        except InputError as error:
            return markup.error(str(error)), gr.update(visible=False)
        return markup.status(said), gr.update(visible=True, value=rows)


_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_OFF: Any = gr.update(interactive=False, value=None)
_AGAIN: dict[str, Any] = {**_QUIET, "trigger_mode": "multiple"}  # also while it goes on
_AT_ONCE: dict[str, Any] = {**_QUIET, "queue": False}


def _limits(asked: Sequence[Any]) -> dict[str, Any]:
    return {name: one or None for name, one in zip(forecasts.LIMITS, asked, strict=False)}


def _trial(asked: Sequence[Any]) -> Any:
    return forecasts.trial_of(*asked[len(forecasts.LIMITS) :])


def _empty() -> None:
    """Empty a place: for files, so that others can be dropped; or for what holds no longer."""


def _download(path: Path) -> Any:
    return gr.update(interactive=True, value=str(path))
