"""Flags of launch/app.py."""

import dataclasses
import ipaddress
from typing import ClassVar

from jaxfleet.scripts.options import flag


@dataclasses.dataclass(frozen=True)
class AppConfig:
    """Flags of `launch/app.py`: where the page is served, and what it may read."""

    RUN_DIR: ClassVar[str] = "none"

    runs: tuple[str, ...] = flag(
        (),
        "A run directory, or a folder of them, for the tab Runs. The page reads no other folder.",
        group="Contents",
    )
    gallery: str = flag(
        "",
        "Gallery for the tab Which upscaler?: run directory of launch/sr_gallery.py, or a file "
        "from one; empty for the gallery that comes with jaxsr.",
    )
    port: int = flag(
        7860, "Port of the page; 0 for any that is free.", group="Server", lower=0, upper=65535
    )
    host: str = flag(
        "127.0.0.1",
        "Address to listen on. With the default only this machine reaches the page; 0.0.0.0 lets "
        "others reach it, and needs --password.",
    )
    password: str = flag(
        "",
        "Password of the page, at least 8 characters; any user name goes with it. It travels "
        "unencrypted unless a proxy with HTTPS stands in front.",
        saved=False,
    )
    dry_run: bool = flag(False, "Check the flags and build the page, but serve nothing.")

    def __post_init__(self) -> None:
        """Refuse to serve other machines without a password.

        Raises:
            ValueError: naming the flags.
        """
        if self.password and len(self.password) < 8:
            raise ValueError("--password is shorter than 8 characters; give a longer one.")
        if not self.is_local and not self.password:
            raise ValueError(
                f"--host={self.host} lets other machines reach the page; give --password=... too, "
                "or leave --host out."
            )

    @property
    def is_local(self) -> bool:
        """Return whether only this machine reaches the page."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
