"""The page in Debian's Chromium: each tab's story, bad files, stops, and that nothing leaves.

    python -m pytest -m slow -s tests/experiments/app/test_page.py -k 'first_answer or forecasts'

prints how soon the page answers. With SCREENSHOTS=FOLDER pictures of the tabs are left there,
as the documentation shows them.
"""

import io
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxinr
from experiments.app import samples, uploads

CHROMIUM = shutil.which("chromium")
pytest.importorskip("gradio", reason="the page needs pip install 'jaxfleet[test-app]'")
playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="pip install 'jaxfleet[test-app]'"
)
httpx = pytest.importorskip("httpx")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="see test-app")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no program chromium: apt-get install chromium"),
    # Of Playwright's event loop and Gradio's packages, not of ours.
    pytest.mark.filterwarnings("default"),
]

ROOT = Path(__file__).parents[3]
SECONDS = float(os.environ.get("PAGE_TEST_SECONDS", "60"))  # that an answer may take
playwright_api.expect.set_options(timeout=1000 * SECONDS)
TABS = ("Which upscaler?", "What will a SIREN reach?", "Runs")
WIDTHS = (400, 800, 1600)


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def context(server, browser):
    """A window of which all requests to other hosts are stopped and noted in `foreign`."""
    address = server[0]
    made = browser.new_context(viewport={"width": 1200, "height": 900})
    made.foreign = []

    def guard(route):
        if route.request.url.startswith((f"{address}/", "data:", "blob:")):
            route.continue_()
        else:
            made.foreign.append(route.request.url)
            route.abort()

    made.route("**/*", guard)
    made.set_default_timeout(1000 * SECONDS)
    return made


def opened(server, context):
    page = context.new_page()
    page.goto(server[0])
    page.get_by_role("tab", name=TABS[0]).wait_for()
    return page


@pytest.fixture
def page(server, context):
    """The page as a visitor finds it."""
    made = opened(server, context)
    yield made
    made.close()


@pytest.fixture(scope="module")
def filled(server, context):
    """A page of which each tab has been used: a sample, a training, and two runs."""
    page = opened(server, context)
    choose(page, TABS[0])
    take(page, "Or take a sample", samples.ENLARGED)
    page.get_by_text("tiles speak for a network").first.wait_for()
    playwright_api.expect(page.get_by_role("button", name="Download PDF")).to_be_enabled()
    keep(page, "which")
    choose(page, TABS[1])
    take(page, "Or take a sample", "chelsea")
    said = page.locator("p.answer")
    said.filter(has_text="AVIF of that size").wait_for()
    set_sliders(page, {"Iterations": 300, "Depth": 3, "Width": 25})
    said.filter(has_text=re.compile("3 layers of 25 units.* after 300 updates")).wait_for()
    page.get_by_role("button", name="Fit it now").click()
    page.get_by_text(re.compile("Rounded to 5 bits per weight")).wait_for()
    keep(page, "siren")
    choose(page, TABS[2])
    page.get_by_text("Best network of each photograph").wait_for()
    page.get_by_label("Trial to draw").fill("0")
    page.get_by_role("button", name="Draw it").click()
    page.get_by_text(re.compile("Trial 0: astronaut as 2 layers")).wait_for()
    take(page, "Compare with", "second")
    page.get_by_text("design is in both").wait_for()
    page.get_by_role("button", name="Report of the run").click()
    page.frame_locator("iframe.report").get_by_text("The report").wait_for()
    keep(page, "runs")
    return page


def choose(page, tab):
    page.get_by_role("tab", name=tab).locator("visible=true").first.click()


def drop(page, *paths):
    page.locator("#pictures input[type=file]").set_input_files([str(path) for path in paths])


def take(page, label, name):
    box = page.get_by_label(label).locator("visible=true").first
    box.click()
    page.get_by_role("option", name=name, exact=True).click()


def set_sliders(page, values):
    for name, value in values.items():
        number = page.get_by_role("spinbutton", name=re.compile(name)).first
        number.fill(str(value))
        number.press("Tab")


def downloaded(page, name):
    with page.expect_download() as caught:
        page.get_by_role("link", name=name).or_(page.get_by_role("button", name=name)).click()
    return caught.value


# Moves the slider of the width ten times; seconds until the page says another forecast.
MOVE_A_SLIDER = """async () => {
  const said = () => document.querySelector('p.answer')?.innerText, found = []
  const slider = [...document.querySelectorAll('input[type=range]')].find(
    one => (one.getAttribute('aria-label') || '').includes('Width'))
  for (let k = 0; k < 10; k++) {
    const before = said(), start = performance.now()
    slider.value = Number(slider.value) + 1
    slider.dispatchEvent(new Event('input', {bubbles: true}))
    while (said() === before || !said()) await new Promise(requestAnimationFrame)
    found.push((performance.now() - start) / 1000)
    await new Promise(done => setTimeout(done, 150))
  }
  return found
}"""


def keep(page, name):
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        shot = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        shot.convert("RGB").quantize(96).save(Path(folder) / f"{name}.png", optimize=True)


def test_a_sample_is_answered_and_its_answer_can_be_downloaded(filled):
    choose(filled, TABS[0])
    answer = filled.locator("details.answer summary").inner_text()
    assert f"Enlarged by {samples.ENLARGED_BY}" in answer
    facts = json.loads(Path(downloaded(filled, "Download JSON").path()).read_text())
    assert facts["pictures"][0]["ranking"][0][0] == samples.ENLARGED_BY


def test_a_wrong_file_gives_one_sentence_and_answers_stay_until_they_are_removed(
    page, tmp_path, patchwork
):
    bad = tmp_path / "letter.txt"
    bad.write_text("no picture")
    drop(page, bad)
    alert = page.get_by_role("alert").filter(has_text="letter.txt")
    alert.wait_for()
    assert alert.inner_text().startswith("'letter.txt' is not a picture that Pillow knows")
    for number, name in enumerate(("first.png", "second.png")):
        patchwork(number).save(tmp_path / name)
        drop(page, tmp_path / name)
        page.locator("details.answer[open]").filter(has_text=name).wait_for()
        page.get_by_text("Done: 1 of 1 pictures answered").wait_for()
        summary = page.locator("summary").filter(has_text=name)
        summary.click()
        summary.click()
    assert alert.count() == 0
    assert page.locator("details.answer[open]").count() == 2  # one that was opened stays open
    pdf = page.get_by_role("button", name="Download PDF")
    playwright_api.expect(pdf).to_be_enabled()
    assert page.locator("details.answer").count() == 2
    page.get_by_role("button", name="Remove the answer for first.png").click()
    page.get_by_text("Answers on the page: 1.").wait_for()
    assert page.locator("details.answer").count() == 1
    facts = json.loads(Path(downloaded(page, "Download JSON").path()).read_text())
    assert [one["file"] for one in facts["pictures"]] == ["second.png"]
    page.get_by_role("button", name="Remove all answers").click()
    page.get_by_text("The answers will stand here").wait_for()
    playwright_api.expect(pdf).to_be_disabled()


def test_enrolling_says_what_is_missing(page, tmp_path, patchwork):
    path = tmp_path / "a.png"
    patchwork(0).resize((300, 300)).save(path)
    choose(page, TABS[0])
    page.get_by_role("button", name="Enrol a network").click()
    page.get_by_label("Name of the network").fill("mine")
    page.locator("#own input[type=file]").set_input_files(str(path))
    page.get_by_text("Pictures ready to enrol: 1").wait_for()
    page.get_by_role("button", name="Enrol", exact=True).click()
    page.get_by_text("has 1 picture; give at least 20").wait_for()


def test_the_first_answer_comes_soon_and_the_others_can_be_cancelled(page, tmp_path, patchwork):
    first, *paths = (tmp_path / f"{name}.png" for name in "zabcdefghij")
    for number, path in enumerate((first, *paths)):
        patchwork(number).resize((768, 512)).save(path, compress_level=1)
    choose(page, TABS[0])
    drop(page, first)  # until it is answered the server may still be starting
    page.get_by_text("Done: 1 of 1 pictures answered").wait_for()
    playwright_api.expect(page.get_by_role("button", name="Download PDF")).to_be_enabled()
    start = time.monotonic()
    drop(page, *paths)
    page.locator("details.answer").filter(has_text="a.png").wait_for()
    sys.stdout.write(f"first answer {time.monotonic() - start:.2f} s after dropping\n")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text(re.compile("Cancelled: [1-9] of 10 pictures answered")).wait_for()


def test_pictures_in_a_dropped_folder_are_answered(page, tmp_path, patchwork):
    folder = tmp_path / "pictures"
    for number, path in enumerate((folder / "one.png", folder / "deeper" / "two.png")):
        path.parent.mkdir(parents=True)
        patchwork(number).save(path)
    (folder / ".hidden").write_text("no picture")
    page.locator("#pictures").get_by_text("Drop File Here").wait_for()
    page.locator("#pictures").scroll_into_view_if_needed()
    box = page.locator("#pictures").bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})
    page.get_by_text("Done: 2 of 2 pictures answered").wait_for()
    for name in ("one.png", "two.png"):
        page.locator("details.answer").filter(has_text=name).wait_for()


def test_forecasts_follow_sliders_and_limits_narrow_the_best_networks(page):
    choose(page, TABS[1])
    take(page, "Or take a sample", "chelsea")
    said = page.locator("p.answer")
    said.filter(has_text="AVIF of that size").wait_for()
    seconds = page.evaluate(MOVE_A_SLIDER)
    sys.stdout.write(f"a forecast {np.median(seconds):.3f} s after moving a slider (median)\n")
    assert np.median(seconds) < 2
    set_sliders(page, {"Bits per pixel, at most": 2, "Seconds to fit, at most": 5})
    page.get_by_text("best SIRENs within the limits").wait_for()
    page.get_by_role("button", name="Find the best network").click()
    page.get_by_text("networks within the limits").wait_for()
    playwright_api.expect(said).to_have_text(re.compile(r" [01]\.\d+ bits per pixel"))
    before = said.inner_text()
    page.locator("#best").get_by_role("gridcell").first.click()
    playwright_api.expect(said).not_to_have_text(before)
    set_sliders(page, {"Bits per pixel, at most": 0.000001})
    page.get_by_role("button", name="Find the best network").click()
    page.get_by_role("alert").filter(has_text="the smallest takes").wait_for()
    set_sliders(page, {"Bits per pixel, at most": 8})
    page.get_by_role("button", name="Find the best network").click()
    page.get_by_text("networks within the limits").wait_for()


def test_a_network_is_trained_and_its_files_kept(filled):
    choose(filled, TABS[1])
    assert filled.get_by_text(re.compile("Done after 300 updates")).is_visible()
    assert filled.get_by_label("Share of the picture that shows the original").is_visible()
    name = downloaded(filled, "Download weights").suggested_filename
    assert name == "siren-3x25.safetensors"
    data = Path(downloaded(filled, "Download file of the codec").path()).read_bytes()
    assert max(jaxinr.decode(data).shape) == 128


def test_a_training_stops_on_request_and_keeps_what_it_has(page):
    choose(page, TABS[1])
    take(page, "Or take a sample", "chelsea")
    page.locator("p.answer").filter(has_text="dB").wait_for()
    set_sliders(page, {"Iterations": 20_000})
    page.get_by_role("button", name="Fit it now").click()
    page.get_by_text(re.compile("of 20,000 updates")).wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text(re.compile("Stopped after [0-9,]+ updates")).wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_labels_and_contrast_pass_axe(filled, theme):
    filled.emulate_media(color_scheme=theme)
    filled.evaluate(f"document.body.classList.toggle('dark', {json.dumps(theme == 'dark')})")
    for tab in TABS:
        choose(filled, tab)
        found = axe.Axe().run(filled, options={"runOnly": ["wcag2a", "wcag2aa"]})
        problems = {
            violation["id"]: [node["html"][:200] for node in violation["nodes"]]
            for violation in found.response["violations"]
        }
        assert problems == {}, tab


@pytest.mark.parametrize("width", WIDTHS)
def test_no_tab_is_wider_than_its_window(filled, width):
    filled.set_viewport_size({"width": width, "height": 900})
    for tab in TABS:
        choose(filled, tab)
        assert filled.evaluate("document.documentElement.scrollWidth") <= width, tab


@pytest.mark.usefixtures("filled")  # each tab was used
def test_the_server_reads_no_file_of_its_own_and_asks_no_other_host(server, context):
    address, log = server
    time.sleep(0.5)
    for path in ("/etc/passwd", "http://example.org/a.png", str(ROOT / "setup.cfg")):
        answer = httpx.get(f"{address}/gradio_api/file={path}", timeout=SECONDS)
        assert answer.status_code in (403, 404), path
    assert httpx.get(address, headers={"Host": "example.org"}).status_code == 421
    headers = httpx.get(address).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "https://" not in re.sub(
        r"<meta[^>]*>", "", httpx.get(address).text.split("gradio_config")[0]
    )
    large = {"files": ("large.png", b"0" * (uploads.MAX_BYTES + 1))}
    assert httpx.post(f"{address}/gradio_api/upload", files=large, timeout=SECONDS).is_client_error
    assert context.foreign == []
    assert not log.exists(), log.read_text()
