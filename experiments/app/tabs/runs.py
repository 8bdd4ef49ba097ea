"""The tab Runs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from experiments.app import markup, runs
from experiments.app.tabs.shared import AT_ONCE, QUIET, Shared, Steps
from experiments.app.turns import unless_stopped
from jaxfleet.errors import InputError

Work = Callable[[], tuple[Any, ...]]


class RunsTab:
    """The tab and its events."""

    def __init__(self, shared: Shared) -> None:
        """Take what the tabs share."""
        self.shared = shared

    def build(self, tab: Any) -> None:
        """Lay out the tab and connect its events."""
        if not (names := list(self.shared.run_dirs)):
            gr.HTML(markup.NO_RUNS)
            return
        with gr.Row():
            run = gr.Dropdown(names, value=names[0], label="Run")
            other = gr.Dropdown(names, value=None, label="Compare with")
            cancel = gr.Button("Cancel", scale=0, min_width=130)
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
        run.input(self.open_run, [run], shown, **QUIET)
        gr.on([other.input, run.input], self.compare, [run, other], [compared, difference], **QUIET)
        draw.click(self.draw, [run, trial], [error, picture], **QUIET)
        chosen = rows.select(self.choose, None, trial, **QUIET)
        chosen.then(self.draw, [run, trial], [error, picture], **QUIET)
        tab.select(self.open_run, [run], shown, **QUIET)  # not before: hidden parts miss it
        cancel.click(self.stop, **AT_ONCE)

    def stop(self, request: gr.Request) -> None:
        """Stop what the visitor has going on in this tab."""
        for one in ("open", "compare", "draw"):
            self.shared.stops.stop(request.session_hash, one)

    def _show(self, key: str, going: str, work: Work, parts: int, request: gr.Request) -> Steps:
        """Show what is going on in the first of so many parts, then what `work` returns."""
        stop = self.shared.stops.begin(request.session_hash, key)
        yield markup.status(going, 0.0), *[gr.skip()] * (parts - 1)
        found = unless_stopped(work, stop)
        if not self.shared.stops.is_superseded(request.session_hash, key, stop):
            yield found or (markup.status("Stopped."), *[gr.skip()] * (parts - 1))

    def open_run(self, name: str, request: gr.Request) -> Steps:
        """Show the table, the facts and the report of a run."""
        work = partial(runs.show_run, self.shared.run_dirs[name])
        yield from self._show("open", f"Opening {name}", work, 5, request)

    def choose(self, event: gr.SelectData) -> int:
        """Take the trial of the chosen row."""
        return int(event.row_value[0])

    def draw(self, name: str, trial_id: float, request: gr.Request) -> Steps:
        """Draw the network of a trial."""
        work = partial(runs.show_picture, self.shared.run_dirs[name], int(trial_id or 0))
        yield from self._show("draw", "Drawing the network", work, 2, request)

    def compare(self, name: str, other: str | None, request: gr.Request) -> Steps:
        """Compare two runs; without a second one, show nothing."""
        work = partial(self._compare, name, other)
        yield from self._show("compare", "Comparing the runs", work, 2, request)

    def _compare(self, name: str, other: str | None) -> tuple[Any, ...]:
        if not other:
            return "", gr.update(visible=False)
        try:
            said, rows = runs.compare(self.shared.run_dirs[name], self.shared.run_dirs[other])
        except InputError as error:
            return markup.error(str(error)), gr.update(visible=False)
        return markup.status(said), gr.update(visible=True, value=rows)
