"""Serve a page that identifies upscalers, forecasts SIRENs and shows runs in a browser.

    python launch/app.py
    python launch/app.py --runs=runs

Open http://127.0.0.1:7860. The page has three tabs. *Which upscaler?* says whether a network
enlarged the pictures that you drop on it, which network, and where in each picture the evidence
lies. *What will a SIREN reach?* forecasts the PSNR of a network while you move sliders, beside
JPEG, WebP and AVIF; finds the best network within limits of size, time and PSNR; and trains it
while you watch. *Runs* shows the tables, reports and pictures of the runs in --runs, and compares
two runs.

Install it with `pip install 'jaxfleet[app]'`. Only this machine can open the page unless --host
says otherwise, and the page contacts no other machine. It reads no folders except those of --runs.
Files may have up to 64 MB and 200 megapixels and are deleted after an hour. One network trains at a
time. Press Ctrl-C to stop the server.
"""

from launch import flagdefs

from experiments.app.config import AppConfig

CONFIG = AppConfig


def main(config: AppConfig) -> str:
    """Serve the page.

    Raises:
        InputError: if it cannot be served.
    """
    from experiments.app import server  # after the flags, since this takes its time

    return server.run(config)


if __name__ == "__main__":
    flagdefs.run(CONFIG, main)
