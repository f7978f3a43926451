"""Embedding: the same numbers as in training, whatever the batch, also after a kill."""

import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from tiny_beast import tiny_config
from tiny_films import ArrayVideo, moving_square

from tinbergen.beast import Embedder, embed, pretrain
from tinbergen.beast.cache import FrameCache
from tinbergen.beast.embedding import Embedding
from tinbergen.beast.pretraining import cached_backgrounds, hold_out
from tinbergen.beast.reconstruction import load_model
from tinbergen.beast.task import PretrainTask
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.nn.backgrounds import load_backgrounds
from tinbergen.nn.vit import patchify
from tinbergen.recordings import Dataset, Recording


def dataset_of(**videos):
    return Dataset({name: Recording(name, {"video": video}) for name, video in videos.items()})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two films, one with damaged frames, and a run on them; with a background and without."""

    folder = tmp_path_factory.mktemp("study")
    films = {}
    for number, bad in enumerate([(), (7, 8, 30)]):
        frames = moving_square(90, seed=number)
        frames[..., 0] += 50 * number
        path = folder / f"v{number}.npy"
        np.save(path, frames)
        films[f"v{number}"] = ArrayVideo(path, frames, np.arange(90) / 50, bad)
    data = dataset_of(**films)
    runs = {}
    for preset in ("tinbergen", "vit-m"):
        overrides = tiny_config(preset, objective={"eigenframes": 4}).model_dump(mode="json")
        overrides["train"]["steps"] = 4
        runs[preset] = pretrain(
            data, folder / preset, preset=preset, overrides=overrides, skip_bad=True,
            evaluate=False,
        )  # fmt: skip
    return folder, data, runs


@pytest.mark.parametrize("preset", ["tinbergen", "vit-m"])
def test_embedding_is_what_the_trained_encoder_sees(study, tmp_path, preset):
    """Rows of cached frames: decoded, resized and set against the background as in training."""
    folder, data, runs = study
    run = runs[preset]
    cache = FrameCache.open(
        next(
            c
            for c in (folder / ".frames").iterdir()
            if FrameCache(c).key == run.status["inputs"]["frames"]
        )
    )
    model = load_model(run)
    backgrounds = cached_backgrounds(cache, data) if preset == "tinbergen" else None
    train, validation, _ = hold_out(cache.index, model.config)
    task = PretrainTask(model.config, cache, train, validation, backgrounds)
    rows = cache.usable
    with torch.no_grad():
        tokens = model.encoder(patchify(task.images(rows), 8))
    found = embed(
        run, data, tmp_path / "out", tokens=("cls", "mean", "grid", "patch"), dtype="float32",
        device="cpu", precision="fp32",
    )  # fmt: skip
    index = cache.index.iloc[rows]
    for i, (recording, frame) in enumerate(zip(index["recording"], index["frame"], strict=True)):
        own = found[str(recording)]
        np.testing.assert_allclose(own.values("cls")[frame], tokens[i, 0], atol=1e-5)
        np.testing.assert_allclose(own.values("mean")[frame], tokens[i, 1:].mean(0), atol=1e-5)
        patches = tokens[i, 1:].reshape(2, 3, 16)
        np.testing.assert_allclose(own.values("patch")[frame], patches, atol=1e-5)
        # No more than 2 x 3 patches: each is a part of its own.
        np.testing.assert_allclose(own.values("grid")[frame], patches, atol=1e-5)


def test_rows_are_aligned_and_damaged_ones_are_nan(study, tmp_path):
    _, data, runs = study
    found = embed(runs["tinbergen"], data, tmp_path / "out", device="cpu")
    for name, bad in (("v0", []), ("v1", [7, 8, 30])):
        embedding, video = found[name], data[name].videos["video"]
        assert np.array_equal(embedding.times, video.times)
        assert np.flatnonzero(embedding.status).tolist() == bad
        assert np.flatnonzero(np.isnan(embedding.values()).any(1)).tolist() == bad
        assert list(embedding.index["frame"]) == list(range(90))


def test_batch_size_does_not_matter(study, tmp_path):
    _, data, runs = study
    options: dict[str, Any] = {"dtype": "float32", "device": "cpu", "precision": "fp32"}
    whole = embed(runs["tinbergen"], data, tmp_path / "90", batch_size=90, **options)
    for size in (1, 7):
        other = embed(runs["tinbergen"], data, tmp_path / str(size), batch_size=size, **options)
        for name in whole:
            np.testing.assert_allclose(
                other[name].values(), whole[name].values(), atol=1e-5, rtol=1e-5
            )


def test_layers_are_the_blocks_outputs(study):
    _, data, runs = study
    run = runs["vit-m"]
    frames = data["v0"].videos["video"].view(size=(16, 24)).frames(np.arange(5)).frames
    options: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
    one, two, both, last = (
        Embedder(run, layers=layers, **options).encode(frames)["cls"]
        for layers in ((1,), (2,), (1, 2), None)
    )
    assert np.array_equal(both, np.concatenate([one, two], axis=1))
    encoder = Embedder(run, **options).encoder
    with torch.no_grad():
        normed = encoder.norm(torch.from_numpy(two)).numpy()
    np.testing.assert_allclose(normed, last, atol=1e-5)
    assert not np.allclose(one, two)


def test_stills_get_the_background_they_resemble(study):
    """Too few frames for a mean image of their own: the nearest of the training videos."""
    _, data, runs = study
    embedder = Embedder(runs["tinbergen"], device="cpu")
    bank = load_backgrounds(runs["tinbergen"].path)
    assert bank is not None
    for number in range(2):
        still = data[f"v{number}"].videos["video"].between(0.8, 0.86)
        np.testing.assert_array_equal(embedder.background(embedder.source(still)), bank[number])
        assert Embedder(runs["vit-m"], device="cpu").background(still) is None


class Killed(BaseException):
    """Stands for a kill."""


def test_killed_and_called_again_is_the_same_bytes(study, tmp_path, monkeypatch):
    from tinbergen.beast import embed_io

    _, data, runs = study
    monkeypatch.setattr(embed_io, "_ROWS_PER_MARK", 8)
    options = {"tokens": ("cls", "patch"), "batch_size": 4, "device": "cpu", "precision": "fp32"}
    straight = embed(runs["tinbergen"], data, tmp_path / "straight", **options)
    original, calls = Embedder.encode, []

    def dying(self, *arguments):
        calls.append(1)
        if len(calls) in (10, 30):
            raise Killed
        return original(self, *arguments)

    monkeypatch.setattr(Embedder, "encode", dying)
    for _ in range(2):
        with pytest.raises(Killed):
            embed(runs["tinbergen"], data, tmp_path / "killed", **options)
    found = embed(runs["tinbergen"], data, tmp_path / "killed", **options)
    assert len(calls) < 23 * 2 + 10  # finished rows were not made again
    for name in straight:
        for file in ("cls.npy", "patch.npy", "index.csv", "meta.json"):
            one, two = (f[name].path / file for f in (straight, found))
            assert one.read_bytes() == two.read_bytes()


def test_another_region_or_other_times_are_another_source(study, tmp_path):
    _, data, runs = study
    video = data["v0"].videos["video"]
    embed(runs["tinbergen"], dataset_of(a=video), tmp_path / "out", device="cpu")
    with pytest.raises(OSError, match="exists already"):
        cropped = video.view(roi=(0, 0, 24, 24))
        embed(runs["tinbergen"], dataset_of(a=cropped), tmp_path / "out", device="cpu")


def test_a_video_without_a_sound_frame(study, tmp_path, array_video):
    _, data, runs = study
    broken = array_video(40, "broken.npy", bad=range(40))
    both = dataset_of(a=broken, b=data["v0"].videos["video"])
    for run in runs.values():
        out = tmp_path / run.path.name
        with pytest.raises(DataError, match="can be decoded|could be decoded"):
            embed(run, both, out, device="cpu")
        assert not (out / "a").exists()
        assert list(embed(run, both, out, device="cpu", skip_bad=True)) == ["b"]
        assert sorted(p.name for p in out.iterdir()) == ["b"]


def test_a_run_is_not_resumed_without_its_recordings(study, tmp_path, capsys):
    _, data, runs = study
    one = dataset_of(v1=data["v1"].videos["video"])
    run = shutil.copytree(runs["tinbergen"].path, tmp_path / "run")
    held = [{"recording": name, "start": 0.5, "stop": 0.6, "gap": 0.1} for name in data]
    (run / "splits.json").write_text(json.dumps({"validation": held}))  # as of longer films
    with pytest.raises(DataError, match="there is no v0 now"):
        pretrain(one, run, resume=True, cache=tmp_path / "frames")
    assert not (tmp_path / "frames").exists()  # said before anything is cached
    with pytest.raises(MissingFileError):
        pretrain(tmp_path / "nothing", tmp_path / "rum", resume=True)
    assert "holds no run to go on with; it begins anew" in capsys.readouterr().err


def test_what_cannot_be_asked(study, tmp_path):
    _, data, runs = study
    run = runs["vit-m"]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"tokens": ("cat",)}, "cls, mean, grid, texture, patch"),
        ({"tokens": ()}, "tokens"),
        ({"layers": (0,)}, "expected 1 to 2, found 0"),
        ({"layers": (3,)}, "expected 1 to 2, found 3"),
        ({"device": "tpu"}, "device"),
    ]
    for options, message in cases:
        with pytest.raises(ConfigError, match=message):
            embed(run, data, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(MissingFileError):
        Embedding(tmp_path)
