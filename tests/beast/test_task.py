"""The pretraining task: what enters a batch, what is contrasted, what validation returns."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_beast import MemoryCache, tiny_config

from tinbergen.beast.model import Beast
from tinbergen.beast.task import PretrainTask
from tinbergen.errors import ConfigError

TRAIN, HELD_OUT = np.r_[0:28, 40:64], np.r_[30:40, 66:70]
BACKGROUNDS = np.stack([np.full((16, 24, 3), 90, np.uint8), np.full((16, 24, 3), 160, np.uint8)])


def make(preset="tinbergen", rows=TRAIN, held_out=HELD_OUT, **changes):
    config = tiny_config(preset, **changes)
    return PretrainTask(config, MemoryCache(), rows, held_out, BACKGROUNDS)


def built(task):
    torch.manual_seed(0)
    return task.build().eval()


# --- batches -------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["tinbergen", "beast", "vit-m"])
def test_only_training_rows_are_served_and_all_of_them(preset):
    sampler, seen = make(preset).batches(), set()
    for step in range(60):
        seen |= set(np.ravel(sampler.batch(step)).tolist())
    assert seen == set(TRAIN.tolist())


def test_batches_hold_pairs_of_one_video():
    task = make()
    video, frame = (task.cache.index[c].to_numpy() for c in ("video", "frame"))
    for step in range(30):
        batch = task.batches().batch(step)
        assert batch.shape == (4, 2)
        assert len(set(video[batch.ravel()])) == 1
        assert (abs(np.diff(frame[batch])) == 1).all()


def test_videos_mix_where_one_is_too_short_for_a_batch_of_its_own():
    batch = make(rows=np.r_[0:28, 40:44]).batches().batch(0)
    assert batch.shape == (4, 2)


@pytest.mark.parametrize("preset", ["tinbergen", "vit-m"])
def test_too_few_frames_name_the_setting(preset):
    task = make(preset, rows=np.arange(6))
    with pytest.raises(ConfigError, match=r"Too few frames for the batch.*train\.batch_size"):
        task.batches()


def test_fetch_is_pure_and_says_who_is_who():
    task, groups = make(), np.array([[3, 4], [41, 40], [10, 11]])
    once = task.fetch(groups, 0)
    again = task.fetch(groups, 0)
    assert once.keys() == again.keys()
    assert all(np.array_equal(once[key], again[key]) for key in once)
    rows = [3, 41, 10, 4, 40, 11]  # anchors first, then their partners in the same order
    assert np.array_equal(once["frames"], task.cache.frames[rows])
    assert once["group"].tolist() == [0, 1, 2, 0, 1, 2]
    assert once["video"].tolist() == [0, 1, 0, 0, 1, 0]
    assert once["time"].tolist() == [0.06, 0.02, 0.2, 0.08, 0.0, 0.22]
    assert (once["background"][[0, 2, 3, 5]] == 90).all()
    assert (once["background"][[1, 4]] == 160).all()


def test_frames_are_seen_against_the_background_of_their_own_video():
    task, rows = make(), np.array([5, 50])
    expected = (task.cache.frames[rows].astype(float) - [[[[90]]], [[[160]]]]) / (255 * 0.226)
    found = task.images(rows).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_background_must_be_given():
    with pytest.raises(ConfigError, match="mean image of each video"):
        PretrainTask(tiny_config(), MemoryCache(), TRAIN, HELD_OUT)


def test_items_are_named():
    assert make().describe(np.array([[0, 41]])) == "r0 frame 0; r1 frame 1"


# --- contrast ------------------------------------------------------------------------------


def brute_force(z, batch, config):
    """Mean over rows of -log softmax of the partner among what the settings leave."""
    settings = config.contrast
    z = z / z.norm(dim=1, keepdim=True)
    n, losses = len(z), []
    for i in range(n):
        if settings.form == "paper" and i > max(batch["group"]):
            continue
        partners = [j for j in range(n) if j != i and batch["group"][j] == batch["group"][i]]
        candidates = []
        for j in range(n):
            same_video = batch["video"][i] == batch["video"][j]
            apart = abs(batch["time"][i] - batch["time"][j])
            close = same_video and (apart < settings.exclusion or apart == 0)
            other = settings.negatives == "video" and not same_video
            if j in partners or (j != i and not close and not other):
                candidates.append(j)
        scores = {j: float(z[i] @ z[j]) / settings.temperature for j in candidates}
        total = math.log(sum(math.exp(s) for s in scores.values()))
        losses.append(np.mean([total - scores[j] for j in partners]))
    return float(np.mean(losses))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    exclusion=st.sampled_from([0.0, 0.05, 0.3]),
    negatives=st.sampled_from(["all", "video"]),
    form=st.sampled_from(["symmetric", "paper"]),
    positives=st.sampled_from([1, 2]),
)
def test_contrast_by_brute_force(seed, exclusion, negatives, form, positives):
    contrast = {
        "exclusion": exclusion, "negatives": negatives, "form": form, "positives": positives,
        "temperature": 0.4,
    }  # fmt: skip
    task = make(contrast=contrast, train={"batch_size": 12})
    generator = np.random.default_rng(seed)
    starts = generator.integers(0, 35, 4) + generator.choice([0, 40], 4)
    starts = np.where(starts >= 68, 66, starts)
    batch = task.fetch(starts[:, None] + np.arange(1 + positives), 0)
    z = torch.from_numpy(generator.normal(size=(4 * (1 + positives), 6))).float()
    found = task._contrast(Beast(task.config), z, batch, gather=False)
    assert found.loss.item() == pytest.approx(brute_force(z, batch, task.config), rel=1e-4)


def test_chance_counts_only_the_negatives_that_are_left():
    task = make(contrast={"exclusion": 0.1})
    batch = task.fetch(np.array([[0, 1], [20, 21], [22, 23], [50, 51]]), 0)
    found = task._contrast(Beast(task.config), torch.randn(8, 4), batch, gather=False)
    # r0: frame 0 and 1 see partner + 4; 20 to 23 see partner + 2, being close; r1 is alone.
    assert found.chance.item() == pytest.approx((2 / 5 + 4 / 3 + 2 / 1) / 8)


def test_loss_is_the_weighted_sum_of_its_parts():
    task = make(objective={"reconstruction": 0.5}, contrast={"weight": 2.0})
    batch = {k: torch.from_numpy(v) for k, v in task.fetch(task.batches().batch(0), 0).items()}
    generator = torch.Generator().manual_seed(3)
    losses = task.loss(built(task), batch, generator)
    total = 0.5 * losses["loss_reconstruction"] + 2 * losses["loss_contrast"]
    assert losses["loss"].item() == pytest.approx(total.item())
    again = task.loss(built(task), batch, torch.Generator().manual_seed(3))
    assert torch.equal(losses["loss"], again["loss"])
    assert not torch.equal(losses["loss"], task.loss(built(task), batch, generator)["loss"])


@pytest.mark.parametrize("mode", ["shared", "independent"])
def test_frames_of_a_pair_are_augmented_alike_if_asked(mode, monkeypatch):
    from tinbergen.beast import task as module

    task = make(contrast={"augmentation": mode})
    seen = []
    original = module.to_input

    def spy(frames, background, transforms):
        seen.append(transforms.sampling)
        return original(frames, background, transforms)

    monkeypatch.setattr(module, "to_input", spy)
    batch = {k: torch.from_numpy(v) for k, v in task.fetch(task.batches().batch(0), 0).items()}
    task.loss(built(task), batch, torch.Generator().manual_seed(0))
    anchors, partners = seen[0].chunk(2)
    assert torch.equal(anchors, partners) == (mode == "shared")
    assert not torch.equal(anchors[0], anchors[1])


# --- validation ----------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["tinbergen", "vit-m", "vit-c", "beast"])
def test_validation_is_a_function_of_the_weights_alone(preset):
    task = make(preset)
    model = built(task)
    with torch.no_grad():
        one = task.validate(model)
        torch.manual_seed(99)
        torch.rand(5)
        two = task.validate(model)
    assert one == two
    assert set(one) >= {"validation_loss"}
    assert all(math.isfinite(value) for value in one.values())
    assert ("validation_loss_reconstruction" in one) == (preset != "vit-c")
    assert ("validation_infonce_top1" in one) == (preset != "vit-m")


def test_validation_looks_at_held_out_rows_only():
    task, other = make(), make()
    other.cache.frames[TRAIN] = 0
    model = built(task)
    with torch.no_grad():
        assert task.validate(model) == other.validate(model)


def test_without_held_out_rows_nothing_is_scored():
    task = make(held_out=np.zeros(0, int))
    assert task.score is None
    assert task.validate(built(task)) == {}
    assert make().score == ("validation_loss", "min")
