"""The way through SLURM, with commands of SLURM that run everything on this machine."""

import json
import os
import stat
import sys
import textwrap

import pytest

pytest.importorskip("snakemake_executor_plugin_slurm")

SBATCH = """
import json, os, subprocess, sys
from pathlib import Path

home = Path(os.environ["FAKE_SLURM"])
number = 1
while True:  # two may be submitted at once: whoever makes the folder has the number
    try:
        (home / f"{number}.job").mkdir()
        break
    except FileExistsError:
        number += 1
whole = home / f"{number}.written"
whole.write_text(json.dumps(sys.argv[1:]))
whole.rename(home / f"{number}.call")
script = home / f"{number}.sh"
wrapped = [a.removeprefix("--wrap=") for a in sys.argv if a.startswith("--wrap=")]
script.write_text(wrapped[0] if wrapped else sys.stdin.read())
output = sys.argv[sys.argv.index("--output") + 1].replace("%j", str(number))
Path(output).parent.mkdir(parents=True, exist_ok=True)
run = f"bash {script} > {output} 2>&1; echo $? > {home}/{number}.code"
environment = {**os.environ, "SLURM_JOB_ID": str(number), "SLURM_JOBID": str(number)}
subprocess.Popen(["bash", "-c", run], env=environment, start_new_session=True,
                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(number)
"""
SACCT = """
import os
from pathlib import Path

home = Path(os.environ["FAKE_SLURM"])
for call in home.glob("*.call"):
    code = call.with_suffix(".code")
    done = code.read_text().strip() if code.exists() else ""
    state = "RUNNING" if not done else "COMPLETED" if done == "0" else "FAILED"
    print(f"{call.stem}|{state}")
"""
SRUN = """
import os, sys

rest = sys.argv[1:]
while rest[0].startswith("-"):
    rest = rest[1:]
os.execvp(rest[0], rest)
"""
NOTHING = "print('MinJobAge = 300 sec')"


@pytest.fixture
def slurm(tmp_path_factory, monkeypatch):
    """Put commands called like SLURM's first on the path; the folder holds what was submitted."""
    home = tmp_path_factory.mktemp("slurm")
    programs = {"sbatch": SBATCH, "sacct": SACCT, "srun": SRUN}
    programs["sacctmgr"] = "print('lab')"
    programs |= dict.fromkeys(("sinfo", "squeue", "scontrol", "scancel"), NOTHING)
    for name, text in programs.items():
        file = home / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    profile = home / "profile"
    profile.mkdir()
    (profile / "config.yaml").write_text(
        "slurm-init-seconds-before-status-checks: 1\nseconds-between-status-checks: 1\n"
    )
    monkeypatch.setenv("PATH", f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(home))
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(profile))
    return home


def submitted(slurm):
    calls = sorted(slurm.glob("*.call"), key=lambda path: int(path.stem))
    return [json.loads(path.read_text()) for path in calls]


@pytest.mark.slow
def test_steps_are_submitted_in_order_and_again_when_preempted(small, stub, slurm):
    steps = {
        "look": {"kind": "check"},
        "wheel": {
            **{"kind": "decode", "uses": "look", "settings": {"to": "wheel"}},
            **{"cores": 2, "memory_gb": 3.0, "hours": 1.0},
        },
        "speed": {"kind": "decode", "settings": {"to": "speed"}},
    }
    small.write(steps, slurm={"partition": "short", "account": "lab", "jobs": 2})
    stub.orders({"wheel": {"preempt_job_once": True}, "speed": {"exit": 1}})
    assert stub.run(small.file, slurm=True) != 0  # speed fails
    results = small.folder / "study-results"
    assert list(results.glob("look/*/done.json")), (results / "snakemake.log").read_text()
    assert stub.names().index("look") < stub.names().index("wheel")
    assert stub.names().count("wheel") == 2 and list(results.glob("wheel/*/done.json"))
    assert stub.names().count("speed") == 1 and not list(results.glob("speed/*/done.json"))
    calls = [" ".join(call) for call in submitted(slurm)]
    assert all("-A lab" in call and "-p short" in call for call in calls)
    asked = [call for call in calls if "--cpus-per-task=2" in call]
    assert len(asked) == 2 and all("--mem 3000" in call and "-t 60" in call for call in asked)
