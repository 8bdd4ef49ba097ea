"""How often a judge is right on test photographs: error rates of its answers, and a table."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.judge import collect
from jaxsr.gallery import judge as judging
from jaxsr.gallery.answer import AFTERWARDS, GROUPS
from jaxsr.gallery.judge import Judge, Opinion
from jaxsr.gallery.scales import STEP

ORIGINAL, INTERPOLATION, NETWORK = GROUPS
Predictions = dict[str, np.ndarray]  # of `Judge.logits`


def of_rows(predictions: Predictions, mask: np.ndarray) -> Predictions:
    """Return the predictions of some of the rows."""
    return {name: values[mask] for name, values in predictions.items()}


def measure(
    judge: Judge, rows: pd.DataFrame, seen: Predictions, unseen: Predictions
) -> tuple[Judge, dict[str, Any]]:
    """Answer about all test pictures.

    Args:
        judge: calibrated.
        rows: of all pictures, with `kind_of_state`, `log_scale` and `side_px`.
        seen: logits of all pictures.
        unseen: the same by judges that do not know the family.

    Returns:
        The judge with its error rates, and the table: side -> state -> row -> share.
    """
    tested = ((rows["split"] == "test") & (rows["kind_of_state"] != "")).to_numpy()
    known = answered(judge, rows[tested], of_rows(seen, tested))
    strange = tested & (rows["kind"] == NETWORK).to_numpy()
    others = answered(judge, rows[strange], of_rows(unseen, strange))
    calibrations = {
        kind: dataclasses.replace(one, error_rates=error_rates(known[known.kind_of_state == kind]))
        for kind, one in judge.calibrations.items()
    }
    table = {
        str(side): {
            state: _column(*(x[(x.state == state) & (x.side_px == side)] for x in (known, others)))
            for state in dict.fromkeys(known.loc[known["side_px"] == side, "state"])
        }
        for side in sorted(set(known["side_px"]))
    }
    return dataclasses.replace(judge, calibrations=calibrations), table


def answered(judge: Judge, rows: pd.DataFrame, logits: Predictions) -> pd.DataFrame:
    """Return the rows with what the judge answers: `said_group`, `said_family`, and so on."""
    opinions: dict[int, Opinion] = {}
    for kind in rows["kind_of_state"].unique():
        mask = (rows["kind_of_state"] == kind).to_numpy()
        own = judge.opinions(of_rows(logits, mask), kind)
        opinions |= dict(zip(np.flatnonzero(mask).tolist(), own, strict=True))
    found = []
    for (_, opinion), is_cut in zip(sorted(opinions.items()), rows["is_cut"], strict=True):
        told = judging.answers(judge, opinion, is_cut=is_cut is True)
        found.append(
            {
                "said_group": told.get("group"),
                "said_enlarged": told.get("is_enlarged"),
                "said_family": told.get("family"),
                "said_network": told.get("network"),
                "said_scale": told["scale"][0] if told.get("scale") else np.nan,
                **{f"said_{name}": told.get(name) is not None for name in AFTERWARDS},
                "top": judge.names[int(np.argmax(opinion.classes))],
                "top_chance": float(opinion.classes.max()),
                "group_chance": float(opinion.groups.max()),
                "top_group": GROUPS[int(opinion.groups.argmax())],
            }
        )
    return pd.concat([rows.reset_index(drop=True), pd.DataFrame(found)], axis=1)


def error_rates(known: pd.DataFrame) -> dict[str, tuple[str, int, int]]:
    """Return what `Calibration.error_rates` holds, of pictures of one kind of state."""
    plain, interpolated, made = (known[known.kind == kind] for kind in GROUPS)
    called = int((interpolated.said_group == NETWORK).sum())
    named, family = made[made.said_network.notna()], made[made.said_family.notna()]
    scaled = known[known.said_scale.notna()]
    off = np.abs(np.log(scaled.said_scale) - scaled.log_scale) > STEP
    is_jpeg, is_crop = (known.state.str.contains(step) for step in ("jpeg", "crop"))
    whole = known[known.seen_quality.notna() & is_jpeg & ~is_crop]
    return {
        f"{NETWORK} group": (
            f"photographs and {called} of {len(interpolated)} interpolations called enlarged by a "
            "network",
            int((plain.said_group == NETWORK).sum()),
            len(plain),
        ),
        f"{INTERPOLATION} group": (
            "photographs and pictures of networks called enlarged by interpolation",
            int((known[known.kind != INTERPOLATION].said_group == INTERPOLATION).sum()),
            len(plain) + len(made),
        ),
        f"{ORIGINAL} group": (
            "pictures of networks called not enlarged",
            int((made.said_group == ORIGINAL).sum()),
            len(made),
        ),
        "enlarged": (
            "photographs called enlarged",
            int((plain.said_enlarged == True).sum()),  # noqa: E712 - None is neither
            len(plain),
        ),
        "family": (
            "answers with a family named another",
            int((family.said_family != family.family).sum()),
            len(family),
        ),
        "network": (
            "answers with a network named another",
            int((named.said_network != named.name).sum()),
            len(named),
        ),
        "resized": (
            "networks' pictures as large as they were made called made smaller afterwards",
            int((made.said_resized & ~made.is_resized).sum()),
            int((~made.is_resized).sum()),
        ),
        "sharpened": (
            "pictures that were not sharpened called sharpened",
            int((known.said_sharpened & ~known.is_sharpened).sum()),
            int((~known.is_sharpened).sum()),
        ),
        "cropped": (
            "JPEGs that were kept without loss, and not cut, called cropped",
            int(whole.said_cropped.sum()),
            len(whole),
        ),
        "scale": ("enlargements were wrong by more than 10 %", int(off.sum()), len(scaled)),
    }


def _column(known: pd.DataFrame, others: pd.DataFrame) -> dict[str, float]:
    """Return the rows of the table in one state, shares; NaN where there is no picture."""
    plain = known[known.kind == ORIGINAL]
    interpolated = known[known.kind == INTERPOLATION]
    made = known[known.kind == NETWORK]
    zoo, real = made[made.family == collect.ZOO], made[made.family != collect.ZOO]
    scaled = pd.concat([known, others])
    scaled = scaled[scaled.said_scale.notna()]

    def share(right: Any) -> float:
        return float(np.mean(right)) if len(right) else float("nan")

    return {
        "right network, real networks": share(real.said_network == real.name),
        "right network if one had to be named, real networks": share(real.top == real.name),
        "right network, the zoo": share(zoo.said_network == zoo.name),
        "right network if one had to be named, the zoo": share(zoo.top == zoo.name),
        "right family, real networks": share(real.said_family == real.family),
        "networks' pictures called enlarged by a network": share(made.said_group == NETWORK),
        "networks' pictures called not enlarged": share(made.said_group == ORIGINAL),
        "photographs called enlarged by a network": share(plain.said_group == NETWORK),
        "photographs called not enlarged": share(plain.said_group == ORIGINAL),
        "interpolations called enlarged by a network": share(interpolated.said_group == NETWORK),
        "networks' pictures called made smaller afterwards": share(made.said_resized),
        "all pictures called sharpened": share(known.said_sharpened),
        "all pictures called cropped, if kept without loss": share(
            known.said_cropped[known.is_cut.notna()]
        ),
        "families left out: enlarged by a network": share(others.said_group == NETWORK),
        "families left out: called not enlarged": share(others.said_group == ORIGINAL),
        "families left out: given a family": share(others.said_family.notna()),
        "families left out: counted as known": share(others.said_network.notna()),
        "enlargement within 10 %, where printed": share(
            np.abs(np.log(scaled.said_scale) - scaled.log_scale) < STEP
        ),
        "enlargement printed": share(pd.concat([made, interpolated]).said_scale.notna()),
        "calibration error of the group": _ece(known.group_chance, known.top_group == known.kind),
        "calibration error of the network": _ece(made.top_chance, made.top == made.name),
        "pictures": len(known),
    }


def _ece(chance: pd.Series, right: pd.Series) -> float:
    if not len(chance):
        return float("nan")
    pairs = np.stack([chance, 1.0 - chance], axis=1).astype(float)
    # Of two answers, "right" and "wrong", calibration of the first is what is asked.
    place = np.clip(np.ceil(pairs[:, 0] * 15).astype(int) - 1, 0, 14)
    gaps = np.bincount(place, pairs[:, 0] - right.to_numpy(float), minlength=15)
    return float(np.abs(gaps).sum() / len(pairs))


def markdown(table: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return the table of `measure` as lines of Markdown, one for each side."""
    lines: list[str] = []
    for side, columns in table.items():
        states = list(columns)
        lines += [f"| {side} pixels | {' | '.join(states)} |", "|---|" + "---|" * len(states)]
        for name in columns[states[0]]:
            values = [columns[state][name] for state in states]
            text = "{:.0f}" if name == "pictures" else "{:.1%}"
            cells = ["" if np.isnan(x) else text.format(x) for x in values]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)
