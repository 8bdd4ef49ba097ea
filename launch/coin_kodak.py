"""Fit COIN's five sizes to the Kodak photographs; compare with JPEG, JPEG 2000, WebP and AVIF.

    python launch/coin_kodak.py --flagfile=launch/flagfiles/coin_kodak/cpu.flags

Measures the networks in float32, in float16 and at 4 to 16 bits per weight, and the codecs on the
same pixels. Writes to the run directory: `report.html`, `figures/rate_distortion.png` and
`figures/quantisation.png`; the tables `rate_distortion.parquet` and `quantisation.parquet`; and the
networks in `parts/*.parquet`. --dry_run prints the cost. Repeat the command to resume a run that
was interrupted; a complete run is measured again.
"""

from launch import flagdefs

from experiments.coin import kodak as coin_kodak

CONFIG = coin_kodak.CoinConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, coin_kodak.run)
