"""What the README says of time stands in a table of results, for the work that is done now."""

import re

from experiments.siren import plan
from launch import flagdefs, siren_grid
from tests.docs import printed

README = (printed.ROOT / "README.md").read_text()
ENGINE = (printed.ROOT / "docs" / "results" / "engine.md").read_text()


def test_the_time_of_the_quickstart_was_measured_on_the_work_it_does_now():
    flagfile = printed.LAUNCH / "flagfiles" / "siren_grid" / "quickstart.flags"
    config, _ = flagdefs.parse(siren_grid.CONFIG, [f"--flagfile={flagfile}"])
    photos, jobs = plan.load(config)
    gflop = 1e-9 * sum(
        job.trial.flops_per_pixel * job.trial.num_iters * photos[job.photo].pixels[..., 0].size
        for job in jobs
    )
    measured = re.search(r"The quickstart trains (\d+) networks, ([\d,]+) GFLOP", ENGINE)
    assert int(measured[1]) == len(jobs)
    assert abs(gflop / float(measured[2].replace(",", "")) - 1) < 0.01, "measure it anew"
    assert f"fits {len(jobs)} networks" in README.replace("\n", " ")


def test_the_readme_says_the_measured_time_of_the_quickstart_and_the_machine():
    cold, warm = re.search(r"with its report \| ([\d.]+) s \| ([\d.]+) s", ENGINE).groups()
    machine, first, later = re.search(
        r"On two idle cores \((.+?)\) the fits and their report\s+take (\d+) s the first time and"
        r"\s+(\d+) s\s+later",
        README,
    ).groups()
    assert (int(first), int(later)) == (round(float(cold)), round(float(warm)))
    assert machine in ENGINE
