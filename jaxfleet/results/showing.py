"""How results show themselves in a notebook: one line, and a table where there is one."""

from typing import Any


def counted(number: int, noun: str) -> str:
    """Return `1 network`, `1,200 networks`."""
    plural = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{plural}"


def three_digits(value: float) -> str:
    """Return `0.000123`, `12.3`, `12,345`: three digits, or all those before the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


class Tabular:
    """A result with `to_pandas`, which a notebook shows as its table."""

    def to_pandas(self) -> Any:
        """Return the result as a pandas.DataFrame."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        html: str = self.to_pandas()._repr_html_()
        return html
