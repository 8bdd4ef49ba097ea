"""The tab What will a SIREN reach?"""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr
import numpy as np

from experiments.app import forecasts, markup, places, samples, training, uploads
from experiments.app.tabs.shared import AGAIN, AT_ONCE, EMPTY, OFF, QUIET, Shared, Steps, download
from experiments.app.turns import unless_stopped
from jaxfleet.errors import InputError

KNOBS = (4, 24, 30.0, 1000, 1e-3)  # where the sliders stand at first; see `forecasts.trial_of`
# The most that sliders of `forecasts.LIMITS` take, and their steps.
LIMITS = ((24, 0.1), (600, 0.5), (200, 0.5), (60, 0.5))
# Forecasts for the sliders by a request of its own, which takes a fraction of the time of an event
# of Gradio: one at a time, and then for where the sliders are by now.
_ASK = """async (...asked) => {
  const page = window, mine = (page.lastAsked = (page.lastAsked ?? 0) + 1);
  await page.asking;
  const key = document.getElementById("subject")?.dataset.key;
  const skipped = Array(3).fill({ __type__: "update" });
  if (mine !== page.lastAsked || !key) return skipped;
  page.asking = fetch("forecast", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ key, asked }),
  }).then((answer) => (answer.ok ? answer.json() : []), () => []);
  const shown = await page.asking;
  return shown.length ? shown : skipped;
}"""


class SirenTab:
    """The tab and its events."""

    def __init__(self, shared: Shared) -> None:
        """Take what the tabs share."""
        self.shared = shared
        self.keys = dict[str, str]()  # of visitors
        self.subjects = dict[str, forecasts.Subject]()  # by key
        self.asked = dict[str, Sequence[Any]]()  # limits and sliders, by key

    def build(self) -> None:
        """Lay out the tab and connect its events."""
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
                    limits = [
                        gr.Slider(0, most, 0, step=step, label=label)
                        for label, (most, step) in zip(
                            forecasts.LIMITS.values(), LIMITS, strict=True
                        )
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
                status, view, key = gr.HTML(), gr.HTML(), gr.HTML()
        best = gr.Dataframe(label="Networks that no other one beats in size, time and PSNR, within "
                            "the limits; choose a row to set the sliders", visible=False,
                            interactive=False, max_height=320, elem_id="best")  # fmt: skip
        knobs, outlook = [depth, width, w0, updates, rate], [said, curve, sizes]
        asked = [*limits, *knobs]
        loaded = [error, key, pixels, known, best, *outlook]
        for taken in (file.upload, sample.input):
            for left in (advice, status):  # of the picture before
                taken(None, None, left, **EMPTY)
        file.upload(self.load, [places.moved(file), side, *asked], loaded, **AGAIN)
        sample.input(self.load_sample, [sample, side, *asked], loaded, **AGAIN)
        side.release(self.resize, [pixels, side, *asked], loaded, **AGAIN)
        for knob in knobs:
            knob.change(None, asked, outlook, js=_ASK, **QUIET)
        for limit in limits:
            limit.change(None, None, advice, **EMPTY)
            limit.change(None, asked, outlook, js=_ASK, **QUIET)
            limit.change(self.list_best, [known, *asked], best, **AT_ONCE,
                         trigger_mode="always_last")  # fmt: skip
        find.click(self.recommend, [known, *asked], [advice, *knobs], **QUIET)
        best.select(self.choose, None, knobs, **AT_ONCE)
        go.click(self.fit, [known, *knobs], [status, curve, view, weights, coded],
                 concurrency_limit=None, **QUIET)  # fmt: skip
        halt.click(self.stop, **AT_ONCE)

    def load(self, path: str | None, side: float, request: gr.Request, *asked: Any) -> Steps:
        """Take a dropped picture."""
        yield markup.status("Reading the picture", 0.0), *[gr.skip()] * 7
        try:
            pixels = None if path is None else uploads.read(path)
        except InputError as error:
            yield markup.error(str(error)), *[gr.skip()] * 7
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
            yield [gr.skip()] * 8
            return
        stop = self.shared.stops.begin(request.session_hash, "picture")
        try:
            known = forecasts.subject(pixels, int(side))
        except InputError as error:
            yield markup.error(str(error)), *[gr.skip()] * 7
            return
        key = self.keys.setdefault(request.session_hash, secrets.token_urlsafe())
        self.subjects[key], self.asked[key] = known, asked
        named = f'<span id="subject" data-key="{key}" hidden></span>'
        going = "Comparing with other networks and codecs"
        yield markup.status(going, 0.0), named, pixels, known, *self.narrow(known, *asked)
        for done, more in enumerate(forecasts.with_more(known), 1):
            if stop.is_set():
                break
            self.subjects[key] = more
            said = markup.status(going, done / (1 + len(forecasts.CODECS)))
            asked = tuple(self.asked.get(key, asked))  # they may have moved
            yield said, gr.skip(), gr.skip(), more, *self.narrow(more, *asked)
        if not self.shared.stops.is_superseded(request.session_hash, "picture", stop):
            yield markup.status("Stopped.") if stop.is_set() else "", *[gr.skip()] * 7

    def leave(self, visitor: str) -> None:
        """Forget the picture of a visitor who has left."""
        key = self.keys.pop(visitor, "")
        self.subjects.pop(key, None)
        self.asked.pop(key, None)

    def ask(self, key: str, asked: Sequence[Any]) -> tuple[Any, ...]:
        """Forecast for the visitor of a key, see `_ASK`; nothing for one who is not known."""
        if (known := self.subjects.get(key)) is None:
            return ()
        self.asked[key] = asked
        return self.forecast(known, *asked)

    def list_best(self, known: forecasts.Subject | None, *asked: Any) -> Any:
        """List the best networks within the limits."""
        if known is None or known.best is None:
            return gr.skip()
        rows = forecasts.best_networks(known.best, forecasts.limits_of(asked))
        return gr.update(visible=True, value=rows)

    def narrow(self, known: forecasts.Subject, *asked: Any) -> tuple[Any, str, str, str]:
        """List the best networks, and forecast for the network that the sliders describe."""
        return self.list_best(known, *asked), *self.forecast(known, *asked)

    def forecast(self, known: forecasts.Subject, *asked: Any) -> tuple[str, str, str]:
        """Forecast for the network that the sliders describe."""
        found = forecasts.outlook(known, forecasts.asked_trial(asked))
        return (
            forecasts.describe(found, known.curves),
            forecasts.learning_curve(found),
            forecasts.size_chart(found, known, forecasts.limits_of(asked)),
        )

    def recommend(self, known: forecasts.Subject | None, *asked: Any) -> tuple[Any, ...]:
        """Set the sliders to the best network within the limits."""
        try:
            if known is None:
                raise InputError("Drop a picture first, or take a sample.")
            best, said = forecasts.recommend(
                known, forecasts.asked_trial(asked), forecasts.limits_of(asked)
            )
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
        stop = self.shared.stops.begin(request.session_hash, "siren")
        yield markup.status("Starting", 0.0), gr.skip(), "", OFF, OFF
        for step in self.shared.turns.take(training.train(known.image, trial), stop):
            if isinstance(step, int):
                yield markup.status(f"Waiting: {step} before you", 0.0), *[gr.skip()] * 4
                continue
            now = step
            curve = forecasts.learning_curve(found, now.history)
            yield training.describe(now), curve, training.show(now), gr.skip(), gr.skip()
        if now is None:
            yield markup.status("Stopped."), *[gr.skip()] * 4
            return
        folder = self.shared.new_folder()
        ended = training.describe(now, stopped=stop.is_set())
        going = markup.status("Writing the file of the codec", 0.0)
        kept = download(training.save_weights(now, folder))
        yield ended + going, gr.skip(), gr.skip(), kept, OFF
        stop = self.shared.stops.begin(request.session_hash, "siren")
        file = unless_stopped(partial(training.save_file, now, folder), stop)
        path, said = file or (None, "No file of the codec: stopped.")
        if not self.shared.stops.is_superseded(request.session_hash, "siren", stop):
            yield ended + markup.status(said), *[gr.skip()] * 3, download(path) if path else OFF

    def stop(self, request: gr.Request) -> None:
        """Stop what the visitor has going on in this tab."""
        for one in ("siren", "picture"):
            self.shared.stops.stop(request.session_hash, one)
