"""Scores of a run: oracles for the parts, and every kind of run gets a summary."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_beast import MemoryCache, tiny_config

from tinbergen.beast import evaluate_run, pretrain
from tinbergen.beast.config import Preset
from tinbergen.beast.diagnostics import _pixels
from tinbergen.beast.model import Beast
from tinbergen.beast.reconstruction import reconstruct
from tinbergen.beast.samples import cached_sample
from tinbergen.metrics.retrieval import draw_pairs, retrieval_top1
from tinbergen.nn.vit import patchify
from tinbergen.recordings import Dataset, Keypoints, Recording


def test_pairs_are_a_step_apart_in_one_recording_and_away_from_others():
    recordings = np.array(["a"] * 50 + ["b"] * 60)
    for rows in draw_pairs(recordings, 2, pairs=6, batches=5):
        first, second = np.split(rows, 2)
        assert (second - first == 2).all()
        assert (recordings[first] == recordings[second]).all()
        apart = np.abs(first[:, None] - first[None])[~np.eye(len(first), dtype=bool)]
        assert apart.min() >= 5
    assert draw_pairs(recordings[:8], 4, pairs=6, batches=5) == []


def test_retrieval_by_brute_force():
    generator = np.random.default_rng(0)
    features, rows = generator.normal(size=(30, 4)).astype(np.float32), np.arange(20)
    z = features - features.mean(0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    right = 0
    for i in range(20):
        others = [j for j in range(20) if j != i]
        best = max(others, key=lambda j: z[i] @ z[j])
        right += best == (i + 10) % 20
    assert retrieval_top1(features, [rows])[0] == pytest.approx(right / 20)
    twins = np.concatenate([features[:10], features[:10]])
    assert retrieval_top1(twins, [rows])[0] == 1


def test_pixels_are_block_means():
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)
    expected = frames.mean(3).reshape(3, 16, 2, 16, 3).mean((2, 4)).reshape(3, -1) / 255
    np.testing.assert_allclose(_pixels(frames), expected, atol=1e-5)


def test_sample_takes_as_many_of_each_video():
    cache = MemoryCache((40, 10, 25))
    sample = cached_sample(cache, None, 30)
    assert np.bincount(sample.background).tolist() == [10, 10, 10]
    assert len(set(sample.recording)) == 3


def test_reconstruction_is_judged_on_hidden_patches_beside_its_nulls():
    torch.manual_seed(0)
    model = Beast(tiny_config("vit-m", objective={"mask_ratio": 0.5})).eval()
    frames = np.random.default_rng(0).integers(0, 256, (4, 16, 24, 3), dtype=np.uint8)
    images = (frames / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    patches = patchify(torch.from_numpy(images).permute(0, 3, 1, 2).float(), 8)
    reference = torch.cat([torch.zeros(1, 6, 192), patches])  # the frames themselves are there
    result = reconstruct(model, frames, None, reference, torch.zeros(4, 6, 192))
    np.testing.assert_allclose(result.nearest, 0, atol=1e-9)
    noise = torch.rand((4, 6), generator=torch.Generator().manual_seed(0))
    for i in range(4):
        hidden = noise[i].argsort()[3:]
        expected = patches[i, hidden].square().mean().item()
        assert result.mean_image[i] == pytest.approx(expected, rel=1e-5)
    assert np.abs(result.pictures[:, 0].astype(int) - frames).max() <= 1
    with torch.no_grad():
        prediction = model(patches, noise, 1.0).prediction
    index = noise.argsort(1)[:, 3:, None].expand(-1, -1, 192)
    error = (prediction - patches.gather(1, index)).square().mean((1, 2))
    np.testing.assert_allclose(result.error, error.numpy(), rtol=1e-5)


# --- whole runs ----------------------------------------------------------------------------


def study(array_video, lengths=(90, 80), keypoints=True):
    recordings = []
    for number, n in enumerate(lengths):
        video = array_video(n, f"v{number}.npy")
        streams: dict = {"video": video}
        if keypoints:
            bright = video.frames(np.arange(n)).frames[..., 0] > 100
            rows, columns = np.indices(bright.shape[1:])
            centre = [[(columns[b].mean(), rows[b].mean())] for b in bright]
            streams["keypoints"] = Keypoints(
                times=video.times, positions=np.array(centre)[:, None], keypoints=("square",)
            )
        recordings.append(Recording(f"r{number}", streams))
    return Dataset(recordings)


def trained(data, path, preset: Preset = "tinbergen", **changes):
    overrides = tiny_config(preset, **changes).model_dump(mode="json")
    overrides["train"]["steps"] = 3
    return pretrain(data, path, preset=preset, overrides=overrides, evaluate=False)


def summary_of(run):
    return json.loads((run.path / "summary.json").read_text())


def test_a_run_with_keypoints_is_scored_against_null_and_baselines(array_video, tmp_path):
    data = study(array_video)
    run = trained(data, tmp_path / "run")
    scores = evaluate_run(run, data)
    names = [score.name for score in scores]
    assert names == [
        "Keypoint probe", "Keypoint probe, CLS token", "Video-identity leakage", "Time-lag probe",
        "InfoNCE top-1", "Effective rank", "Masked reconstruction",
    ]  # fmt: skip
    summary = summary_of(run)
    assert summary["headline"]["name"] == "Keypoint probe"
    for entry in [summary["headline"], *summary["scores"]]:
        assert np.isfinite([entry["value"], entry["null"]]).all()
        # The page states the usual rule; a score that goes by another has to state its own.
        assert entry["verdict"] is None or "Rule: " in entry["method"], entry["name"]
    assert summary["headline"]["unit"] == "px"
    assert len(summary["headline"]["baselines"]) == 2
    table = pd.read_csv(run.path / "scores.csv")
    assert {"recording", "value", "null", "low", "high", "n"} <= set(table.columns)
    own = table[table["score"] == "Keypoint probe"]
    assert set(own["recording"]) == {"r0", "r1"} and set(own["name"]) == {"square"}
    mean = np.average(own["value"], weights=own["n"])
    assert mean == pytest.approx(summary["headline"]["value"], rel=0.05)
    assert pd.read_csv(run.path / "videos.csv")["n_frames"].tolist() == [90, 80]
    assert (run.path / "diagnostics" / "reconstructions.npy").is_file()


@pytest.mark.parametrize("preset", ["vit-m", "vit-c", "beast"])
def test_every_preset_is_scored(array_video, tmp_path, preset):
    data = study(array_video, keypoints=False)
    run = trained(data, tmp_path / "run", preset)
    names = [score.name for score in evaluate_run(run, data)]
    assert ("InfoNCE top-1" in names) == (preset != "vit-m")
    summary = summary_of(run)
    assert any("No keypoints" in note for note in summary["notes"])
    last = summary["scores"][-1]
    assert last["name"] == "Masked reconstruction"
    assert (last["value"] is None) == (preset == "vit-c")


def test_collapse_raises_the_alarm(array_video, tmp_path):
    data = study(array_video)
    run = trained(data, tmp_path / "run")
    weights = {name: torch.zeros_like(value) for name, value in run.load_weights().items()}
    run.save_weights(weights)
    evaluate_run(run, data)
    (alarm,) = summary_of(run)["alarms"]
    assert alarm["raised"] and "All frames look alike" in alarm["text"]


@pytest.mark.parametrize("lengths", [(90,), (12,), (90, 1)])
def test_little_data_is_still_scored(array_video, tmp_path, lengths):
    data = study(array_video, lengths)
    run = trained(data, tmp_path / "run")
    assert evaluate_run(run, data)
    assert summary_of(run)["headline"]["name"]
