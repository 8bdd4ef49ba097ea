"""The tab Which upscaler?"""

from collections.abc import Sequence
from threading import Event
from typing import Any

import gradio as gr

from experiments.app import markup, places, samples, uploads, which
from experiments.app.tabs.shared import AGAIN, AT_ONCE, OFF, QUIET, Shared, Steps, download
from experiments.app.turns import each_unless_stopped
from jaxfleet.errors import InputError

_NONE = "<p>The answers will stand here.</p>"
# A click on the button of an answer is told with the answer's number. An answer that the visitor
# has opened or closed stays so when those after it come.
_CLICKS = """const chosen = {}, numberOf = (one) => one.parentNode.lastChild.dataset.number;
element.addEventListener("click", ({ target }) => {
  const button = target.closest("button.remove"), details = target.closest("summary")?.parentNode;
  if (button) trigger("click", { number: button.dataset.number });
  if (details) chosen[numberOf(details)] = !details.open;
});
new MutationObserver(() => element.querySelectorAll(".held > details").forEach((one) => {
  const open = chosen[numberOf(one)] ?? one.open;
  if (one.open !== open) one.open = open;
})).observe(element, { subtree: true, childList: true, attributeFilter: ["open"] });"""


class WhichTab:
    """The tab and its events; `desks` has what was found for each visitor."""

    def __init__(self, shared: Shared) -> None:
        """Take what the tabs share."""
        self.shared, self.desks = shared, dict[str, which.Desk]()

    def build(self) -> None:
        """Lay out the tab and connect its events."""
        gallery, kept = gr.State(self.shared.gallery), gr.State([])
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                files = gr.File(label=f"Pictures ({uploads.AT_MOST})", file_count="multiple",
                                height=150, elem_id="pictures")  # fmt: skip
                errors = gr.HTML()
                sample = gr.Dropdown(samples.names(), value=None, label="Or take a sample")
                status = gr.HTML()
                with gr.Row():
                    cancel = gr.Button("Cancel", min_width=130)
                    clear = gr.Button("Remove all answers", min_width=130)
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
                    with gr.Row():
                        add = gr.Button("Enrol", min_width=130)
                        drop = gr.Button("Take other pictures", min_width=130)
                    added = gr.HTML()
                    own_gallery = gr.DownloadButton("Download gallery", interactive=False)
            with gr.Column(scale=3, min_width=300):
                answers = gr.HTML(_NONE, js_on_load=_CLICKS)
        outputs = [status, errors, answers, as_json, as_page, as_pdf]
        files.upload(self.examine, [places.moved(files), gallery], outputs, **AGAIN)
        sample.input(self.examine_sample, [sample, gallery], outputs, **AGAIN)
        cancel.click(self.stop, **AT_ONCE)
        answers.click(self.remove, None, outputs, **AGAIN)
        clear.click(self.clear, None, outputs, **AT_ONCE)
        own.upload(self.keep, [places.moved(own), kept], [kept, added], **AGAIN)
        drop.click(self.keep, None, [kept, added], **QUIET)
        add.click(self.enrol, [own_name, kept, gallery], [added, gallery, own_gallery], **QUIET)

    def examine(self, paths: list[str] | None, gallery: str, request: gr.Request) -> Steps:
        """Answer for dropped files; what is there of earlier ones stays."""
        visitor = request.session_hash
        stop = self.shared.stops.begin(visitor, "which")
        desk = self.desks.setdefault(visitor, which.Desk())
        desk.take(gallery, paths or [])
        for said in which.examine_all(desk, stop):
            if self.shared.stops.is_superseded(visitor, "which", stop):
                return
            yield said, desk.show_errors(), desk.show() or _NONE, OFF, OFF, OFF
        yield from self._write(desk, said, stop, visitor)

    def examine_sample(self, name: str, gallery: str, request: gr.Request) -> Steps:
        """Answer for a sample."""
        yield markup.status("Preparing the sample", 0.0), "", *[gr.skip()] * 4
        path = samples.save(name, self.shared.folder)
        yield from self.examine([str(path)], gallery, request)

    def remove(self, event: gr.EventData, request: gr.Request) -> Steps:
        """Remove the answer whose button was clicked."""
        desk = self.desks.setdefault(request.session_hash, which.Desk())
        desk.remove(int(event.number))
        yield gr.skip(), gr.skip(), desk.show() or _NONE, OFF, OFF, OFF
        if not desk.waiting:  # otherwise it follows when all are answered
            stop = self.shared.stops.begin(request.session_hash, "which")
            said = markup.status(f"Answers on the page: {len(desk.answers)}.")
            yield from self._write(desk, said, stop, request.session_hash)

    def _write(self, desk: which.Desk, said: str, stop: Event, visitor: str) -> Steps:
        """Write what can be downloaded; `said` stays above what is going on."""
        if not desk.answers:
            return
        for done, files in which.save(self.shared.new_folder(), desk, stop):
            if self.shared.stops.is_superseded(visitor, "which", stop):
                return
            going = markup.status("Writing the PDF", done) if done < 1 else ""
            buttons = [download(one) for one in files]
            yield said + going, gr.skip(), gr.skip(), *buttons, *[OFF] * (3 - len(buttons))

    def clear(self, request: gr.Request) -> tuple[Any, ...]:
        """Remove all answers, and show none of what is going on."""
        self.shared.stops.begin(request.session_hash, "which")
        if desk := self.desks.get(request.session_hash):
            self.desks[request.session_hash] = which.Desk(numbers=desk.numbers)
        return "", "", _NONE, OFF, OFF, OFF

    def keep(self, paths: Sequence[str] = (), kept: Sequence[str] = ()) -> tuple[Any, str]:
        """Keep the dropped pictures of a network for `enrol`, beside those dropped before."""
        paths = [*dict.fromkeys([*kept, *paths])]
        return paths, markup.status(f"Pictures ready to enrol: {len(paths)}.")

    def enrol(self, name: str, paths: list[str], gallery: str, request: gr.Request) -> Steps:
        """Add a network to the visitor's gallery."""
        stop = self.shared.stops.begin(request.session_hash, "enrol")
        target = self.shared.new_folder() / "gallery.safetensors"
        try:
            for said, done in each_unless_stopped(
                which.enrol(gallery, name.strip(), paths, target), stop
            ):
                yield markup.status(said, done if done < 1 else None), gr.skip(), gr.skip()
        except InputError as error:
            yield markup.error(str(error)), gr.skip(), gr.skip()
        else:
            cancelled = markup.status("Cancelled."), gr.skip(), gr.skip()
            yield cancelled if stop.is_set() else (gr.skip(), str(target), download(target))

    def stop(self, request: gr.Request) -> None:
        """Stop what the visitor has going on in this tab."""
        for one in ("which", "enrol"):
            self.shared.stops.stop(request.session_hash, one)
        if request.session_hash in self.desks:
            self.desks[request.session_hash].waiting.clear()
