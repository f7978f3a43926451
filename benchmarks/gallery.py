"""The gallery: one table and one figure of each room, on real recordings, for the docs.

Each room's own benchmark makes the numbers; here they are run, kept in a few lines each, and drawn
beside their nulls and plain baselines.

    python benchmarks/gallery.py DATA                  # measure what is not there, and draw all
    python benchmarks/gallery.py DATA --anew pose      # measure that again (hours for all)
    python benchmarks/gallery.py                       # only draw

What was measured stands in benchmarks/results/gallery.json; the page is docs/gallery.md. The full
results of the benchmarks go to --work, where they go on after an interruption.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.files import write_json

HERE = Path(__file__).resolve().parent
KEPT = HERE / "results" / "gallery.json"
DOCS = HERE.parent / "docs"
OURS, PLAIN, OTHER = "ours", "plain", "other"
COLOURS = {OURS: "#2b6ca3", PLAIN: "#c8852b", OTHER: "#8a949d"}
KINDS = {OURS: "Tinbergen", PLAIN: "plain baseline", OTHER: "published method, measured here"}


@dataclass(frozen=True)
class Exhibit:
    """One section of the gallery.

    Attributes
    ----------
    title, text
        Of the section.
    command
        What makes the full results; ``{data}`` and ``{out}`` are filled in.
    condense
        Rows of the section from the full results: panel, name, kind, value, low, high, null.
    better
        ``"higher"`` or ``"lower"``.
    """

    title: str
    text: str
    command: str
    condense: Callable[[Any], list[dict[str, Any]]]
    better: str = "higher"


def row(
    panel: str,
    name: str,
    kind: str,
    value: float,
    interval: tuple[float, float] | None = None,
    null: float | None = None,
) -> dict[str, Any]:
    low, high = interval or (None, None)
    found = {"value": value, "low": low, "high": high, "null": null}
    rounded = {k: None if v is None else round(float(v), 4) for k, v in found.items()}
    return {"panel": panel, "name": name, "kind": kind, **rounded}


def of_rigs(result: Any) -> list[dict[str, Any]]:
    rows = []
    for place in ("mirror-mouse", "open field"):
        panel = f"keypoints from tokens, {place}, px"
        for run in result["runs"]:
            null = run[f"{place}, mean pose"]
            kind = OURS if run["preset"] == "tinbergen" else OTHER
            rows.append(row(panel, run["preset"], kind, run[f"{place}, patch"], null=null))
        rows.append(row(panel, "16 x 16 px", PLAIN, run[f"{place}, pixels"], null=null))
    panel = "video told from CLS (leakage)"
    for run in result["runs"]:
        kind = OURS if run["preset"] == "tinbergen" else OTHER
        rows.append(row(panel, run["preset"], kind, run["leakage, CLS"], null=run["chance"]))
    rows.append(row(panel, "16 x 16 px", PLAIN, run["leakage, pixels"], null=run["chance"]))
    return rows


def of_visual_neurons(result: Any) -> list[dict[str, Any]]:
    names = {
        "embedding": ("BEAST embedding", OURS),
        "crop components": ("components of the same window", PLAIN),
        "frame components": ("components of whole frames", PLAIN),
        "keypoints": ("true keypoints", PLAIN),
        "motion energy": ("motion energy", PLAIN),
    }
    rows = []
    for model, found in result["models"].items():
        for key, (name, kind) in names.items():
            if each := found["whole"]["features"].get(key):
                spread = sorted(each["share_by_recording"].values())
                rows.append(
                    row(model, name, kind, each["share_of_ceiling"], (spread[0], spread[-1]), 0.0)
                )
    return rows


def of_encoding(result: Any) -> list[dict[str, Any]]:
    """Take the first target that is decoded of each set; the page of the table has all."""
    rows, seen = [], set()
    for each in result["rows"]:
        if each["direction"] != "decode" or each["set"] in seen:
            continue
        seen.add(each["set"])
        panel = f"{each['set']}: {each['target'].split(':')[0].split('/')[-1]}"
        score = "R2" if "R2" in each["score"] else "accuracy"
        null = each["null"]
        name = f"{each['model']}, {score}"
        rows.append(row(panel, name, OURS, each["value"], each["interval"], null))
        if each["plain"] is not None:
            rows.append(row(panel, "ridge without lags", PLAIN, each["plain"], null=null))
    return rows


POPULATION = (
    *("Co-smoothing", "Forward prediction", "Intra-region", "Inter-region"),
    *("Encoding from side + feedback", "Decoding of side", "Decoding of feedback"),
    *("Region of units, within recordings", "Region of units, across recordings"),
)


def of_population(result: Any) -> list[dict[str, Any]]:
    (ten,) = (each for each in result["rows"] if each.get("sessions") == "ten")
    rows = []
    for each in ten["tasks"]:
        if each["score"] in POPULATION:
            kind = OURS if each["method"] == "network" else PLAIN
            found = (each["low"], each["high"])
            rows.append(row(each["score"], each["method"], kind, each["mean"], found))
    return rows


def of_pose(result: Any) -> list[dict[str, Any]]:
    runs = [each["test_px"] for each in result["runs"]]
    null = result["runs"][0]["null_px"]
    panel = "nine test frames, px"
    rows = [
        row(panel, "convolutional, 3 seeds", OURS, np.mean(runs), (min(runs), max(runs)), null)
    ]
    for name, value in result["baselines"].items():
        rows.append(row(panel, name, PLAIN, value, null=null))
    for name, value in result["peers"].items():
        rows.append(row(panel, name.split(",")[0], OTHER, value["test_px"], null=null))
    if crossed := result.get("cross_validation"):
        name = f"convolutional, {crossed['folds']} folds"
        found = tuple(crossed["interval_over_frames"])
        rows.append(row("all 90 frames, px", name, OURS, crossed["px"], found, null))
    return rows


def of_actions(result: Any) -> list[dict[str, Any]]:
    rows = []
    models = dict.fromkeys(key.rsplit(" ", 1)[0] for key in result["rows"])
    for panel, score in (("macro F1", "macro_f1"), ("F1@50 of bouts", "f1_50"), ("edit", "edit")):
        for model in models:
            own = [v[score] for k, v in result["rows"].items() if k.rsplit(" ", 1)[0] == model]
            kind = PLAIN if model == "logistic" else OURS
            spread = (min(own), max(own)) if len(own) > 1 else None
            rows.append(row(panel, model, kind, np.mean(own), spread))
        peers = {"macro_f1": 0.689, "f1_50": 0.353, "edit": 0.670}
        rows.append(row(panel, "lightning-action, 31-frame mean", OTHER, peers[score]))
    return rows


def of_worms(result: Any) -> list[dict[str, Any]]:
    kept = {
        "contrast, same animal": OURS, "contrast, mixed, reversal": OURS, "syllables": OURS,
        "regression, recurrent": OURS, "SimCLR": OURS,
        "contrast, same animal, neurons rolled": PLAIN,
    }  # fmt: skip
    found: dict[tuple[str, str], list[float]] = {}
    nulls: dict[tuple[str, str], list[float]] = {}
    for key, run in result["runs"].items():
        for each in run["actions"]:
            if each["fraction"] != 1.0:
                continue
            name = each["method"]
            if name in kept or key.split("|")[0] in ("raw windows", "aligned"):
                place = (each["protocol"], name)
                found.setdefault(place, []).append(each["balanced_accuracy"])
        for each in run["wrong"]:
            if each["fraction"] == 1.0:
                place = (each["protocol"], each["method"])
                nulls.setdefault(place, []).append(each["balanced_accuracy"])
    rows = []
    for (protocol, name), values in found.items():
        if protocol == "strict":
            continue
        spread = np.std(values) / np.sqrt(len(values)) * 1.96
        mean, null = np.mean(values), nulls.get((protocol, name))
        interval = (mean - spread, mean + spread)
        kind = kept.get(name, PLAIN)
        rows.append(row(protocol, name, kind, mean, interval, np.mean(null) if null else 0.5))
    return rows


EXHIBITS: dict[str, Exhibit] = {
    "rigs": Exhibit(
        "BEAST: seventeen rigs at once",
        "One small network on clips of seventeen rigs, minutes of training: keypoints of "
        "two rigs read "
        "by ridge from all tokens, px, and how well the video is told from CLS. Lower is "
        "better in all "
        "three. `beast` is the published method at the same budget.",
        "many_rigs.py --steps 600 --out {out}",
        of_rigs,
        "lower",
    ),
    "video": Exhibit(
        "BEAST: video to spikes",
        "Virtual animals whose units are driven by the frames, so the ceiling is known: "
        "share of it on "
        "held-out blocks of an hour, by three models of `tinbergen encode`. Lines: the "
        "two animals.",
        "visual_neurons.py --out {out}",
        of_visual_neurons,
    ),
    "encoding": Exhibit(
        "Decoding of public recordings",
        "Held-out blocks with a gap; R2 or balanced accuracy, 95 % intervals. [All rows, "
        "and encoding](encoding_table.md).",
        "encoding_table.py --out {out}",
        of_encoding,
    ),
    "population": Exhibit(
        "Population: ten sessions of three mice in one model",
        "Steinmetz et al. 2019, 400 ms from the stimulus, trials in the order of "
        "recording: bits/spike "
        "(side, feedback and regions: balanced accuracy), means over sessions with intervals.",
        "population_steinmetz.py whole --out {out}",
        of_population,
    ),
    "pose": Exhibit(
        "Pose: a mouse on a wheel from 72 labelled frames",
        "Lightning Pose's mirror-mouse example, 17 keypoints in two views; mean error, "
        "px. Lower is "
        "better. Three seeds, and every frame once in the test of nine folds.",
        "pose_mirror_mouse.py {data}/video/mouse_treadmill_mirror_lp --folds 9 --out {out}",
        of_pose,
        "lower",
    ),
    "actions": Exhibit(
        "Actions: pairs of rats",
        "Eleven ten-minute sessions to learn from, five to score; one split, whose test "
        "was looked at "
        "more than once (see [benchmarks](benchmarks.md#actions)). Lines: seeds, where "
        "there are several.",
        "actions_rat_dyads.py {data}/actions/rat-dyads --out {out}",
        of_actions,
    ),
    "worms": Exhibit(
        "Across animals: eight worms",
        "Forward or backward from whole-brain calcium: balanced accuracy within a worm, "
        "and in a worm "
        "whose labels were not used. Lines: 95 % over worms and seeds.",
        "crossanimal_worms.py {data}/calcium/worms --out {out}",
        of_worms,
    ),
}


def measure(name: str, data: Path, work: Path) -> list[dict[str, Any]]:
    """Run a benchmark, which goes on where it stopped, and return the rows of its section."""
    out = work / f"{name}.json"
    words = EXHIBITS[name].command.format(data=data, out=out).split()
    subprocess.run([sys.executable, str(HERE / words[0]), *words[1:]], check=True)
    return EXHIBITS[name].condense(json.loads(out.read_text()))


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw a panel for each task: values with intervals, and a dashed line where chance is."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "tinbergen", "svg.fonttype": "none"}
    import matplotlib.pyplot as plt

    panels = list(dict.fromkeys(each["panel"] for each in rows))
    columns = min(3, len(panels))
    sizes = [sum(each["panel"] == panel for each in rows) for panel in panels]
    lines = -(-len(panels) // columns)
    height = sum(max(sizes[i : i + columns]) * 0.26 + 0.75 for i in range(0, len(panels), columns))
    figure, axes = plt.subplots(lines, columns, figsize=(10, height), squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, panel in zip(axes.flat, panels, strict=False):
        own = [each for each in rows if each["panel"] == panel][::-1]
        for place, each in enumerate(own):
            axis.barh(place, each["value"], color=COLOURS[each["kind"]], height=0.72)
            if each["low"] is not None:
                axis.plot([each["low"], each["high"]], [place] * 2, color="#1d2329", lw=1.2)
            if each["null"] is not None:
                ends = [place - 0.42, place + 0.42]
                axis.plot([each["null"]] * 2, ends, color="#1d2329", lw=1.2, ls=(0, (2, 1.5)))
        axis.set_yticks(range(len(own)), [each["name"] for each in own], fontsize=8)
        axis.set_title(panel, fontsize=9, loc="left")
        axis.tick_params(axis="x", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[kind]) for kind in KINDS]
    figure.legend(handles, KINDS.values(), loc="outside lower left", ncols=3, fontsize=8)
    figure.set_layout_engine("constrained")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def where_plain_wins(rows: list[dict[str, Any]], better: str) -> str:
    """Say in which panels a null, a plain baseline or other code is ahead of the best of ours."""
    sign, lost = (1 if better == "higher" else -1), []
    for panel in dict.fromkeys(each["panel"] for each in rows):
        own = [each for each in rows if each["panel"] == panel]
        ours = [each for each in own if each["kind"] == OURS]
        others = [(e["name"], e["value"]) for e in own if e["kind"] != OURS]
        others += [("the null", e["null"]) for e in own if e["null"] is not None]
        if not ours or not others:
            continue
        best = max(sign * each["value"] for each in ours)
        name, rival = max(others, key=lambda each: sign * each[1])
        if sign * rival >= best:
            lost.append(f"{panel} ({name} {rival:.3g}, ours {sign * best:.3g})")
    if not lost:
        return "No baseline is ahead of the best model in any panel."
    return f"**Where a baseline is ahead:** {'; '.join(lost)}."


def page(kept: dict[str, Any]) -> str:
    """Return the page of the docs."""
    lines = [
        "# Gallery",
        "",
        "Generated by `python benchmarks/gallery.py DATA`; do not edit. One section a "
        "room, on public",
        "recordings or, where nothing else has a known ceiling, on virtual animals. Bars "
        "are scores on",
        "held-out data, lines their intervals or spread, dashed lines what the null "
        "scores. How each was",
        "measured, and what was selected where, is in [benchmarks](benchmarks.md).",
    ]
    for name, exhibit in EXHIBITS.items():
        lines += ["", f"## {exhibit.title}", "", exhibit.text, ""]
        if name not in kept:
            lines.append("Not measured yet.")
            continue
        rows = kept[name]
        lines += [f"```{{image}} images/gallery_{name}.svg", f":alt: {exhibit.title}", "```", ""]
        lines += [where_plain_wins(rows, exhibit.better), "", "| | | score | interval | null |"]
        lines.append("|---|---|---|---|---|")
        for each in rows:
            span = "" if each["low"] is None else f"{each['low']:.3g} to {each['high']:.3g}"
            null = "" if each["null"] is None else f"{each['null']:.3g}"
            place = f"| {each['panel']} | {each['name']} "
            lines.append(f"{place}| {each['value']:.3g} | {span} | {null} |")
        lines += ["", f"`python benchmarks/{exhibit.command.format(data='DATA', out='out.json')}`"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of the public recordings")
    parser.add_argument("--anew", nargs="*", default=[], choices=EXHIBITS)
    parser.add_argument("--work", type=Path, default=Path("gallery-results"))
    options = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    if options.data is not None:
        options.work.mkdir(parents=True, exist_ok=True)
        for name in EXHIBITS:
            if name not in kept or name in options.anew:
                kept[name] = measure(name, options.data, options.work)
                write_json(KEPT, kept)
    for name, rows in kept.items():
        draw(rows, DOCS / "images" / f"gallery_{name}.svg")
    (DOCS / "gallery.md").write_text(page(kept))


if __name__ == "__main__":
    main()
