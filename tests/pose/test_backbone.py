"""Heads on pretrained transformers: weights that arrive, kept tokens, blocks that thaw."""

from typing import Any

import numpy as np
import pytest
import torch
from spots import SMALL, write_project
from test_training import same  # noqa: F401

from tinbergen.beast import Embedder, beast_config, pretrain
from tinbergen.configuration import merge
from tinbergen.errors import ConfigError, MissingFileError, WeightsError
from tinbergen.nn.backbone import load_backbone
from tinbergen.pose import Predictor, evaluate, open_labels, train
from tinbergen.pose.fitting import make_task, pose_config
from tinbergen.pose.labels import load_images, split_rows
from tinbergen.recordings import Video

TINY = {
    "encoder": {
        "image_size": (64, 96), "patch": 8, "channels": 1, "width": 24, "depth": 2, "heads": 2,
    },
    "decoder": {"width": 16, "depth": 1, "heads": 2},
    "frames": {"select": "all"},
    "objective": {"eigenframes": 0},
    "train": {"steps": 4, "batch_size": 8, "workers": 0, "tensorboard": False, "device": "cpu",
              "precision": "fp32"},
}  # fmt: skip
HEAD = {
    "head": {"width": 16, "views": 3},
    "train": {**SMALL["train"], "steps": 12, "validate_every": 4, "checkpoint_every": 3},
}


@pytest.fixture(scope="module", params=["vit-m", "tinbergen"])
def backbone(request, film, tmp_path_factory):
    """A pretrained run on the film: of whole images, and of differences to the background."""
    folder = tmp_path_factory.mktemp(request.param)
    return pretrain(film[0], folder / "run", preset=request.param, overrides=TINY, evaluate=False)


def task_of(project, source, **changes):
    labels, pretrained = open_labels(project), load_backbone(source)
    config = pose_config(labels, pretrained, merge(HEAD, changes))
    images = load_images(labels, config)
    parts = split_rows(images, validation=0.2, test=0, seed=0, split=None)
    return make_task(config, images, parts, pretrained)


def test_a_run_arrives_whole(backbone, project):
    loaded = load_backbone(backbone.path)
    stored = backbone.load_weights()
    for name, value in loaded.encoder.state_dict().items():
        assert torch.equal(value, stored[f"encoder.{name}"])
    residual = backbone.config["objective"]["background"]
    assert loaded.residual == residual
    assert (loaded.backgrounds is not None) == residual


def test_tokens_are_those_of_the_embedding(backbone, trained, film):
    """What the head sees of a video's frame is what BEAST's own embedding of it is."""
    project, _ = trained
    task = task_of(project, backbone.path)
    model = task.build().eval()
    embedder = Embedder(backbone.path, tokens=("patch",), device="cpu", precision="fp32")
    view = embedder.source(Video(film[0]))
    frames = view.frames([0, 9]).frames[..., None]
    background = embedder.background(view)
    expected = embedder.encode(frames, background)["patch"]
    shown = None if background is None else torch.from_numpy(background)[None]
    with torch.no_grad():
        images = model.prepare(torch.from_numpy(frames), None, shown)  # type: ignore[operator]
        tokens = model.tokens(images)  # type: ignore[operator]
    np.testing.assert_allclose(tokens.numpy(), expected, atol=1e-4)


def test_training_evaluating_and_predicting(backbone, project, film, tmp_path):
    run = train(project, tmp_path / "run", backbone=backbone.path, test=0.2, overrides=HEAD)
    assert run.config["encoder"]["width"] == 24
    weights, stored = run.load_weights(), backbone.load_weights()
    for name in stored:
        if name.startswith("encoder."):
            assert torch.equal(weights[name], stored[name])  # frozen
    found = evaluate(run, project, out=False)
    assert np.isfinite(found.distances).all()
    predicted = Predictor(run, device="cpu").video(Video(film[0]))
    assert np.isfinite(predicted.positions).all()
    anew = merge(HEAD, {"head": {"views": 0}})
    fresh = train(project, tmp_path / "anew", backbone=backbone.path, test=0.2, overrides=anew)
    assert torch.equal(fresh.load_weights()["encoder.norm.weight"], stored["encoder.norm.weight"])


def test_weights_of_before_whitening_predict_as_they_did(backbone, project, film, tmp_path):
    raw = merge(HEAD, {"head": {"whiten": False}})
    run = train(project, tmp_path / "run", backbone=backbone.path, overrides=raw)
    weights = run.load_weights()
    before = Predictor(run, device="cpu").video(Video(film[0])).positions
    del weights["network.centre"], weights["network.whitening"]
    run.save_weights(weights)
    np.testing.assert_array_equal(
        Predictor(run.path, device="cpu").video(Video(film[0])).positions, before
    )
    del weights["network.maps.bias"]
    run.save_weights(weights)
    with pytest.raises(WeightsError, match=r"not in both: 1, such as network.maps.bias\)"):
        Predictor(run.path)


def test_frozen_runs_resume_exactly(backbone, project, tmp_path, killed_at):
    whole = train(project, tmp_path / "whole", backbone=backbone.path, overrides=HEAD)
    with killed_at(7):
        train(project, tmp_path / "k", backbone=backbone.path, overrides=HEAD)
    again = train(project, tmp_path / "k", backbone=backbone.path, overrides=HEAD, resume=True)
    assert same(whole, again)


def test_kept_tokens_are_those_of_augmented_frames(backbone, project):
    task = task_of(project, backbone.path)
    batch: dict[str, torch.Tensor] = task.fetch(task.train[:4], 0)  # type: ignore[assignment]
    assert batch["tokens"].shape == (4, 8, 12, 24)
    assert batch["positions"].shape == (4, 2, 2)
    again: dict = task_of(project, backbone.path).fetch(task.train[:4], 0)
    assert torch.equal(batch["tokens"], again["tokens"])
    other: dict = task.fetch(task.train[:4], 1)
    assert not torch.equal(batch["positions"], other["positions"])


def test_a_moving_backbone_starts_later_and_slower(backbone, project, tmp_path):
    changes = {"head": {"frozen": False, "thaw": 0.5}}
    thawed = merge(HEAD, changes)
    task = task_of(project, backbone.path, **changes)
    model = task.build()
    groups = task.optimizer(model, task.config.train).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    rates = {names[id(g["params"][0])]: (g["lr"], g["first_step"]) for g in groups}
    lr = task.config.train.learning_rate
    assert rates["network.maps.weight"] == (lr, 0)
    last, first = rates["encoder.blocks.1.mlp.0.weight"], rates["encoder.blocks.0.mlp.0.weight"]
    assert last == (pytest.approx(0.1 * lr), 6)
    assert first == (pytest.approx(0.075 * lr), 6)
    assert rates["encoder.embed.weight"][0] < first[0]
    # Held until half of the 12 steps, so the weights after 4 are as they came and those at the
    # end are not; without a validation the last ones are kept.
    run = train(
        project, tmp_path / "run", backbone=backbone.path, overrides=thawed, validation=0.0
    )
    weights, stored = run.load_weights(), backbone.load_weights()
    names = [name for name in stored if name.startswith("encoder.")]
    moved = [name for name in names if not torch.equal(weights[name], stored[name])]
    assert len(moved) > 10


def test_foreign_weights_and_other_sizes(project, tmp_path):
    from safetensors.torch import save_file

    from tinbergen.beast.model import Beast
    from tinbergen.nn.foreign import to_lightning_pose

    shape = {"image_size": (32, 32), "patch": 8, "width": 64, "depth": 2, "heads": 1}
    config = beast_config("beast", overrides=merge(TINY, {"encoder": {**shape, "channels": 3}}))
    foreign = to_lightning_pose(Beast(config).state_dict(), 8)
    path = tmp_path / "vit.safetensors"
    save_file(foreign, path)
    loaded = load_backbone(path)
    assert loaded.encoder.config.image_size == (32, 32)
    assert loaded.encoder.config.depth == 2
    weights = loaded.weights_at((64, 96))
    assert weights["positions"].shape == (1 + 8 * 12, 64)
    torch.testing.assert_close(weights["positions"][0], loaded.encoder.positions[0])
    assert loaded.weights_at((32, 32))["positions"].shape == (17, 64)
    settings = merge(HEAD, {"image_size": [64, 96]})
    run = train(project, tmp_path / "run", backbone=path, overrides=settings)
    assert run.config["encoder"]["image_size"] == [64, 96]
    assert run.config["channels"] == 3
    evaluate(run, project, out=False)


def test_what_is_no_backbone(backbone, project, tmp_path):
    with pytest.raises(MissingFileError):
        load_backbone(tmp_path / "nothing")
    with pytest.raises(MissingFileError, match=r"weights\.safetensors"):
        load_backbone(tmp_path)
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="expected a vision transformer"):
        load_backbone(tmp_path / "other.pt")
    if backbone.config["encoder"]["cls_stem"]:
        with pytest.raises(ConfigError, match="image_size: this backbone"):
            task_of(project, backbone.path, image_size=[96, 96])


def test_projects_of_another_size_than_the_backbone(backbone, tmp_path):
    wide = write_project(tmp_path / "wide", 8, size=(60, 120))
    task = task_of(wide, backbone.path)
    assert task.images.images.shape[1:3] == (64, 96)
    inner = task.images.geometries[0].inner
    assert inner[2] / inner[3] == pytest.approx(0.5, abs=0.02)  # not stretched


def test_the_head_sees_white_tokens(backbone, project):
    task = task_of(project, backbone.path)
    model = task.build().eval()
    with torch.no_grad():
        rows = torch.from_numpy(task.train)
        tokens = model.tokens(task._prepare(model, rows, None))  # type: ignore[operator]
    head: Any = model.network
    white = ((tokens - head.centre) @ head.whitening).flatten(0, 2).double()
    assert white.mean(dim=0).abs().max() < 1e-3
    floor = 0.01 * torch.cov(tokens.flatten(0, 2).double().T, correction=0).diagonal().mean()
    values, axes = torch.linalg.eigh(torch.cov(tokens.flatten(0, 2).double().T, correction=0))
    spread = (white @ axes).var(dim=0, correction=0)
    torch.testing.assert_close(spread, values / (values + floor), atol=1e-2, rtol=0)
    plain = task_of(project, backbone.path, head={"whiten": False}).build()
    assert torch.equal(plain.network.whitening, torch.eye(24))  # type: ignore[union-attr]
