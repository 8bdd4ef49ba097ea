"""The page in Debian's Chromium: each tab's story, bad files, stops, and that nothing leaves.

    python -m pytest -m slow -rP tests/experiments/app/test_page.py -k 'first_answer or forecasts'

prints how soon the page answers. With SCREENSHOTS=FOLDER pictures of the tabs are left there,
as the documentation shows them.
"""

import concurrent.futures
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
# Loaded by the server's Python: notes every address that is not this machine's, and refuses it.
WATCHMAN = """
import os, socket
connect, lookup = socket.socket.connect, socket.getaddrinfo
def note(host):
    if str(host) not in ("127.0.0.1", "::1", "localhost", "None", "0.0.0.0"):
        open(os.environ["FOREIGN_LOG"], "a").write(f"{host}\\n")
        raise OSError("no way out")
def watched(self, address):
    if isinstance(address, tuple): note(address[0])
    return connect(self, address)
def looked_up(host, *args, **settings):
    note(host)
    return lookup(host, *args, **settings)
socket.socket.connect, socket.getaddrinfo = watched, looked_up
"""


@pytest.fixture(scope="module")
def server(grids, tmp_path_factory):
    """Address of a page that is served by a process of its own, and where it notes ways out."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "sitecustomize.py").write_text(WATCHMAN)
    log = folder / "foreign.txt"
    process = subprocess.Popen(
        [sys.executable, ROOT / "launch" / "app.py", "--port=0", f"--runs={grids}"],
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "FOREIGN_LOG": str(log)},
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    for line in process.stderr:
        if found := re.search(r"The page is at (http://\S+);", line):
            break
    else:
        pytest.fail("the server has ended")
    yield found[1], log
    process.terminate()
    process.communicate(timeout=30)


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
def page(server, browser):
    """A page of which all requests to other hosts are stopped and noted."""
    address, _ = server
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    foreign = []

    def guard(route):
        if route.request.url.startswith((f"{address}/", "data:", "blob:")):
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    context.route("**/*", guard)
    opened = context.new_page()
    opened.foreign = foreign
    opened.set_default_timeout(1000 * SECONDS)
    opened.goto(address)
    opened.get_by_role("tab", name=TABS[0]).wait_for()
    return opened


def choose(page, tab):
    page.get_by_role("tab", name=tab).locator("visible=true").first.click()


def drop(page, *paths):
    page.locator("#pictures input[type=file]").set_input_files([str(path) for path in paths])


def take(page, label, name):
    box = page.get_by_label(label).locator("visible=true").first
    box.click()
    page.get_by_role("option", name=name, exact=True).click()


def patchwork(number):
    """[120, 120, 3] uint8: patches of colour, others for each number."""
    colours = np.random.default_rng(number).integers(0, 256, (12, 12, 3))
    return np.kron(colours, np.ones((10, 10, 1))).astype(np.uint8)


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


def test_a_wrong_file_gives_one_sentence_and_the_next_file_an_answer(page, tmp_path):
    bad = tmp_path / "letter.txt"
    bad.write_text("no picture")
    choose(page, TABS[0])
    drop(page, bad)
    alert = page.get_by_role("alert").filter(has_text="letter.txt")
    alert.wait_for()
    assert alert.inner_text().startswith("'letter.txt' is not a picture that Pillow knows")
    take(page, "Or take a sample", samples.ENLARGED)
    page.get_by_text("tiles speak for a network").first.wait_for()
    answer = page.locator("details.answer summary").inner_text()
    assert f"Enlarged by {samples.ENLARGED_BY}" in answer
    assert page.get_by_role("alert").filter(has_text="letter.txt").count() == 0
    with page.expect_download() as caught:
        page.get_by_role("link", name="Download JSON").or_(
            page.get_by_role("button", name="Download JSON")
        ).click()
    facts = json.loads(Path(caught.value.path()).read_text())
    assert page.get_by_role("button", name="Download PDF").is_enabled()
    assert facts["pictures"][0]["ranking"][0][0] == samples.ENLARGED_BY
    keep(page, "which")


def test_enrolling_says_what_is_missing(page, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(patchwork(0)).resize((300, 300)).save(path)
    choose(page, TABS[0])
    page.get_by_role("button", name="Enrol a network").click()
    page.get_by_label("Name of the network").fill("mine")
    page.locator("#own input[type=file]").set_input_files(str(path))
    page.get_by_text("Pictures ready to enrol: 1").wait_for()
    page.get_by_role("button", name="Enrol", exact=True).click()
    page.get_by_text("has 1 picture; give at least 20").wait_for()


def test_the_first_answer_comes_soon_and_the_others_can_be_cancelled(page, tmp_path):
    first, *paths = (tmp_path / f"{name}.png" for name in "zabcdefghij")
    for number, path in enumerate((first, *paths)):
        Image.fromarray(patchwork(number)).resize((768, 512)).save(path, compress_level=1)
    choose(page, TABS[0])
    drop(page, first)  # until it is answered the server may still be starting
    page.get_by_text("Done: 1 of 1 pictures answered").wait_for()
    page.reload()
    choose(page, TABS[0])
    start = time.monotonic()
    drop(page, *paths)
    page.locator("details.answer").filter(has_text="a.png").wait_for()
    sys.stdout.write(f"first answer {time.monotonic() - start:.2f} s after dropping\n")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text(re.compile("Cancelled: [1-9] of 10 pictures answered")).wait_for()


def test_pictures_in_a_dropped_folder_are_answered(page, tmp_path):
    folder = tmp_path / "pictures"
    for number, path in enumerate((folder / "one.png", folder / "deeper" / "two.png")):
        path.parent.mkdir(parents=True)
        Image.fromarray(patchwork(number)).save(path)
    (folder / ".hidden").write_text("no picture")
    page.reload()
    choose(page, TABS[0])
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
    page.get_by_label("Bits per pixel, at most").fill("2")
    page.get_by_label("Seconds to fit, at most").fill("5")
    page.get_by_text("best SIRENs within the limits").wait_for()
    page.get_by_role("button", name="Find the best network").click()
    page.get_by_text("networks within the limits").wait_for()
    playwright_api.expect(said).to_have_text(re.compile(r" [01]\.\d+ bits per pixel"))
    before = said.inner_text()
    page.locator("#best").get_by_role("gridcell").first.click()
    playwright_api.expect(said).not_to_have_text(before)
    page.get_by_label("Bits per pixel, at most").fill("0.000001")
    page.get_by_role("button", name="Find the best network").click()
    page.get_by_role("alert").filter(has_text="the smallest takes").wait_for()
    page.get_by_label("Bits per pixel, at most").fill("8")
    page.get_by_role("button", name="Find the best network").click()
    page.get_by_text("networks within the limits").wait_for()


def test_a_network_is_trained_and_its_files_kept(page):
    choose(page, TABS[1])
    for name, value in (("Iterations", 300), ("Depth", 3), ("Width", 25)):
        number = page.get_by_role("spinbutton", name=re.compile(name)).first
        number.fill(str(value))
        number.press("Tab")
    said = page.locator("p.answer")
    said.filter(has_text=re.compile("3 layers of 25 units.* after 300 updates")).wait_for()
    page.get_by_role("button", name="Fit it now").click()
    page.get_by_text(re.compile("Done after 300 updates")).wait_for()
    page.get_by_text(re.compile("Rounded to 5 bits per weight")).wait_for()
    assert page.get_by_label("Share of the picture that shows the original").is_visible()
    with page.expect_download() as caught:
        page.get_by_role("link", name="Download weights").or_(
            page.get_by_role("button", name="Download weights")
        ).click()
    assert caught.value.suggested_filename == "siren-3x25.safetensors"
    keep(page, "siren")


def test_a_training_stops_on_request_and_keeps_what_it_has(page):
    choose(page, TABS[1])
    number = page.get_by_role("spinbutton", name=re.compile("Iterations")).first
    number.fill("20000")
    number.press("Tab")
    page.get_by_role("button", name="Fit it now").click()
    page.get_by_text(re.compile("of 20,000 updates")).wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text(re.compile("Stopped after [0-9,]+ updates")).wait_for()


def test_runs_show_tables_pictures_and_what_they_differ_by(page):
    choose(page, TABS[2])
    page.get_by_text("Best network of each photograph").wait_for()
    page.get_by_label("Trial to draw").fill("0")
    page.get_by_role("button", name="Draw it").click()
    page.get_by_text(re.compile("Trial 0: astronaut as 2 layers")).wait_for()
    take(page, "Compare with", "second")
    page.get_by_text("design is in both").wait_for()
    page.get_by_role("button", name="Report of the run").click()
    frame = page.frame_locator("iframe.report")
    frame.get_by_text("The report").wait_for()
    keep(page, "runs")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_labels_and_contrast_pass_axe(page, theme):
    page.emulate_media(color_scheme=theme)
    page.evaluate(f"document.body.classList.toggle('dark', {json.dumps(theme == 'dark')})")
    for tab in TABS:
        choose(page, tab)
        found = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
        problems = {
            violation["id"]: [node["html"][:200] for node in violation["nodes"]]
            for violation in found.response["violations"]
        }
        assert problems == {}, tab


@pytest.mark.parametrize("width", WIDTHS)
def test_no_tab_is_wider_than_its_window(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    for tab in TABS:
        choose(page, tab)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab


def test_ten_uploads_at_once_are_answered(server):
    address, _ = server
    config = httpx.get(f"{address}/config", timeout=SECONDS).json()
    upload = next(
        one
        for one in config["dependencies"]
        if [event for _, event in one["targets"]] == ["upload"] and len(one["outputs"]) == 6
    )

    def ask(number):
        buffer = io.BytesIO()
        Image.fromarray(patchwork(number)).save(buffer, "PNG")
        with httpx.Client(base_url=f"{address}/gradio_api/", timeout=SECONDS) as client:
            files = {"files": (f"{number}.png", buffer.getvalue())}
            (path,) = client.post("upload", files=files).raise_for_status().json()
            file = {"path": path, "meta": {"_type": "gradio.FileData"}}
            body = {"data": [[file], None], "fn_index": upload["id"], "session_hash": f"s{number}"}
            client.post("queue/join", json=body).raise_for_status()
            with client.stream("GET", f"queue/data?session_hash=s{number}") as lines:
                return [line for line in lines.iter_lines() if line.startswith("data:")]

    with concurrent.futures.ThreadPoolExecutor(10) as threads:
        for lines in threads.map(ask, range(10)):
            assert any("Done: 1 of 1 pictures answered" in line for line in lines), lines[-2:]


def test_the_server_reads_no_file_of_its_own_and_asks_no_other_host(server, page):
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
    assert page.foreign == []
    assert not log.exists(), log.read_text()


def test_a_password_is_asked_of_other_machines(tmp_path):
    from starlette.testclient import TestClient

    from experiments.app import server as ours
    from experiments.app.config import AppConfig

    app = ours.make(AppConfig(host="0.0.0.0", password="a long one"), tmp_path)
    client = TestClient(app, base_url="http://somewhere")
    assert client.get("/config").status_code == 401
    wrong = client.post("/login", data={"username": "me", "password": "another"})
    assert wrong.status_code == 400
    right = client.post("/login", data={"username": "me", "password": "a long one"})
    assert right.status_code == 200
    assert client.get("/config").status_code == 200
