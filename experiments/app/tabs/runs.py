"""The tab Runs."""

from typing import Any

import gradio as gr

from experiments.app import markup, runs
from experiments.app.tabs.shared import QUIET, Shared
from jaxfleet.errors import InputError


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
        rows.select(self.draw_row, [run], [error, trial, picture], **QUIET)
        tab.select(self.open_run, [run], shown, **QUIET)  # not before: hidden parts miss it

    def open_run(self, name: str) -> tuple[Any, ...]:
        """Show the table, the facts and the report of a run."""
        run_dir, said = self.shared.run_dirs[name], list[str]()
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
            pixels, said = runs.picture(self.shared.run_dirs[name], int(trial_id or 0))
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
            said, rows = runs.compare(self.shared.run_dirs[name], self.shared.run_dirs[other])
        except InputError as error:
            return markup.error(str(error)), gr.update(visible=False)
        return markup.status(said), gr.update(visible=True, value=rows)
