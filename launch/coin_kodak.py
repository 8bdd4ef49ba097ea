"""COIN's five sizes on the Kodak photographs, against JPEG, JPEG 2000, WebP and AVIF.

    python launch/coin_kodak.py --flagfile=launch/flagfiles/coin_kodak/cpu.flags

fits the networks, then measures them in float32, float16 and 4 to 16 bits a weight, and the codecs
on the same pixels. Leaves in the run directory `report.html` to look at, with
`figures/rate_distortion.png` and `figures/quantisation.png`; `rate_distortion.parquet` and
`quantisation.parquet` to compute with; and the networks in `parts/*.parquet`. --dry_run prints
what it costs. A run that was killed goes on where it was when the same command is given again; one
that is complete is measured anew.
"""

from launch import flagdefs

from experiments.coin import kodak as coin_kodak

CONFIG = coin_kodak.CoinConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, coin_kodak.run)
