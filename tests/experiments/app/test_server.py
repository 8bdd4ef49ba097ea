"""The server of the page: many at once, forecasts, and a password."""

import concurrent.futures
import io
import os
from types import SimpleNamespace

import pytest

from experiments.app import samples

pytest.importorskip("gradio", reason="the page needs pip install 'jaxfleet[test-app]'")
httpx = pytest.importorskip("httpx")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # of Gradio's packages, not of ours
]

SECONDS = float(os.environ.get("PAGE_TEST_SECONDS", "60"))  # that an answer may take


def test_ten_uploads_at_once_are_answered(server, patchwork):
    address, _ = server
    config = httpx.get(f"{address}/config", timeout=SECONDS).json()
    upload = next(
        one
        for one in config["dependencies"]
        if [event for _, event in one["targets"]] == ["upload"] and len(one["outputs"]) == 6
    )

    def ask(number):
        buffer = io.BytesIO()
        patchwork(number).save(buffer, "PNG")
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


def test_comparing_with_other_codecs_has_progress_and_stops(tmp_path):
    from experiments.app.tabs.shared import Shared
    from experiments.app.tabs.siren import KNOBS, SirenTab

    tab, me = SirenTab(Shared(tmp_path, "", {})), SimpleNamespace(session_hash="me")
    asked = (0, 0, 0, 0, *KNOBS)
    steps = tab.resize(samples.pixels("chelsea"), 32, me, *asked)
    assert "Comparing with" in next(steps)[0]
    (key,) = tab.subjects
    moved = (*asked[:-4], 30, *asked[-3:])  # the width
    assert "layers of 30 units" in tab.ask(key, moved)[0]
    assert "layers of 30 units" in next(steps)[5]  # not those of before
    tab.stop(me)
    (last,) = steps
    assert "Stopped" in last[0]
    assert next(tab.resize(samples.pixels("chelsea"), 32, me, *asked))
    tab.leave("me")
    assert tab.ask(key, asked) == ()


def test_forecasts_are_for_the_keys_of_visitors_alone(server):
    body = {"key": "no visitor's", "asked": [0, 0, 0, 0, 4, 24, 30, 1000, 1e-3]}
    assert httpx.post(f"{server[0]}/forecast", json=body, timeout=SECONDS).json() == []
    assert httpx.post(f"{server[0]}/forecast", json={}, timeout=SECONDS).status_code == 422


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
