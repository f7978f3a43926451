"""The pages do what they say: Python blocks run, commands parse, tables are those of the code."""

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

import tinbergen as tb
from tinbergen.configuration import merge

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
TINY = {
    "encoder": {"width": 24, "depth": 1, "heads": 2, "image_size": (32, 48), "channels": 1},
    "decoder": {"width": 16, "depth": 1, "heads": 2},
    "frames": {"select": "uniform", "per_video": 16},
    "objective": {"eigenframes": 0},
    "train": {"steps": 2, "batch_size": 8, "workers": 0, "tensorboard": False},
}
REAL_PRETRAIN, REAL_SIMULATE = tb.beast.pretrain, tb.simulate


def tiny_pretrain(data, out, *, size=None, steps=None, overrides=None, **options):
    """Pretrain as the page says, but with a network and steps that take no time."""
    settings = merge(overrides or {}, TINY)
    return REAL_PRETRAIN(data, out, overrides=settings, resume=True, evaluate=False, **options)


def short_simulate(out, **options):
    return REAL_SIMULATE(out, **{**options, "size": (64, 96), "fps": 10.0})


def blocks(page: Path, language: str) -> list[str]:
    """Code of a page; a block after ``<!-- not run: reason -->`` is left out."""
    text = re.sub(
        r"<!-- not run: [^>]+ -->\n```.*?\n```\n", "", page.read_text("utf-8"), flags=re.S
    )
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.S | re.M)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A user's folder: videos, a finished run on them, and its embeddings."""
    folder = tmp_path_factory.mktemp("world")
    study = short_simulate(folder / "made", animals=2, duration=5.0, seed=0)
    for number, (_, _, video) in enumerate(study.videos(), start=1):
        target = folder / f"videos/mouse{number}/day1.mp4"
        target.parent.mkdir(parents=True)
        shutil.copy(video.path, target)
    shutil.rmtree(folder / "made")
    data = tb.Dataset.open(folder / "videos")
    run = tiny_pretrain(data, folder / "runs/mouse")
    tb.beast.embed(run, data, folder / "embeddings")
    return folder


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.stem)
def test_python_blocks_run(page, world, tmp_path, monkeypatch):
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tb.beast, "pretrain", tiny_pretrain, raising=False)
    monkeypatch.setattr(tb, "simulate", short_simulate, raising=False)
    names: dict = {"__name__": "page"}
    for number, code in enumerate(blocks(page, "python")):
        exec(compile(code, f"{page.name}, block {number}", "exec"), names)


def commands() -> list[tuple[str, str]]:
    lines = [
        (page.stem, line.strip().removeprefix("$ ").removeprefix("srun "))
        for page in PAGES
        for block in blocks(page, "(?:bash|console)")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    words = [(page, line.split(";")[0]) for page, line in lines if line.startswith("tinbergen ")]
    return sorted(set(words))


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_parse(page, line, world, monkeypatch):
    from tinbergen.cli.main import app

    monkeypatch.chdir(world)
    verb, *arguments = shlex.split(line, comments=True)[1:]
    group = typer.main.get_command(app)
    command = group.commands[verb]  # type: ignore[attr-defined]
    while hasattr(command, "commands"):
        verb = arguments.pop(0)
        command = command.commands[verb]
    command.make_context(verb, arguments)


def test_table_of_presets_is_that_of_the_code():
    spec = importlib.util.spec_from_file_location("presets", ROOT / "docs/presets.py")
    assert spec is not None
    assert spec.loader is not None
    presets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(presets)
    page = presets.PAGE.read_text("utf-8")
    assert page == presets.updated(page), "run: python docs/presets.py"
