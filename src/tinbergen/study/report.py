"""One page for a study."""

from __future__ import annotations

from pathlib import Path

from tinbergen.study.plan import Plan


def write_study_report(plan: Plan) -> Path:
    return plan.study.out / "report.html"
