r"""Opens a page in the browser: which upscaler made a picture, and what a SIREN will reach on it.

    python launch/app.py
    python launch/app.py --runs=runs

Then open http://127.0.0.1:7860. The page has three tabs. *Which upscaler?* tells of dropped
pictures whether a network enlarged them, which one, and where in the picture the evidence lies.
*What will a SIREN reach?* forecasts what a network will reach on a picture while you move sliders,
beside JPEG, WebP and AVIF, finds the best network within limits of size, time and PSNR, and trains
it before your eyes. *Runs* shows the runs of --runs: their tables and reports, pictures of their
networks, and what two runs differ by.

It needs `pip install 'jaxfleet[app]'`. Only this machine reaches the page, unless --host says
otherwise, and it asks no other machine for anything. It reads no folder but those of --runs.
Dropped files may have 64 MB and 200 megapixels and are removed after an hour; one network trains at
a time, the others wait. Ctrl-C ends it.
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
