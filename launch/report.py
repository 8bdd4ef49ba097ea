"""Write the report of a run again, whether it finished, is still running or was killed.

    python launch/report.py --run_dir=runs/quickstart

Replaces `report.html` and `figures/` of runs of launch/siren_grid.py, launch/coin_kodak.py (whose
networks and codecs are measured again), launch/sr_zoo.py and launch/sr_attribution.py; trains
nothing. The report of a run that launch/collection_import.py made shows pictures only if --photos
names the photographs.
"""

from pathlib import Path

from launch import flagdefs

from experiments import remake

CONFIG = remake.ReportConfig


def main(config: remake.ReportConfig, run_dir: Path) -> str:
    """Write the page, and say where it is."""
    flagfile = f"--flagfile={run_dir / 'flags.txt'}"
    return remake.run(config, run_dir, lambda kind: flagdefs.parse(kind, [flagfile])[0])


if __name__ == "__main__":
    flagdefs.run(CONFIG, main)
