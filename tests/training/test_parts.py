"""Sampler, randomness, schedule, optimizer groups, moving average, prefetching."""

import math
import threading
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tinbergen.configuration import resolve
from tinbergen.errors import ConfigError, DataError
from tinbergen.training import EpochSampler, TrainConfig, derive_seed, numpy_generator, shard
from tinbergen.training.optim import Average, adamw, clip_on_cpu, learning_rate_factor
from tinbergen.training.prefetch import fetched_ahead, to_device


class TestSampler:
    @given(
        n=st.integers(1, 60),
        batch=st.integers(1, 25),
        seed=st.integers(0, 10),
        epochs=st.integers(1, 4),
    )
    @settings(deadline=None, max_examples=60)
    def test_every_item_once_per_epoch(self, n, batch, seed, epochs):
        sampler = EpochSampler(n, batch, seed=seed)
        steps = math.ceil(n * epochs / batch)
        batches = [sampler.batch(step) for step in range(steps)]
        assert all(len(b) == batch for b in batches)
        seen = np.concatenate(batches)[: n * epochs].reshape(epochs, n)
        for epoch in seen:
            assert sorted(epoch) == list(range(n))

    def test_is_a_pure_function_of_the_step(self):
        forward = EpochSampler(17, 4, seed=1)
        in_order = [forward.batch(step) for step in range(30)]
        backward = EpochSampler(17, 4, seed=1)
        for step in reversed(range(30)):
            np.testing.assert_array_equal(backward.batch(step), in_order[step])

    def test_order_changes_with_epoch_and_seed(self):
        sampler = EpochSampler(50, 50, seed=1)
        assert (sampler.batch(0) != sampler.batch(1)).any()
        assert (sampler.batch(0) != EpochSampler(50, 50, seed=2).batch(0)).any()
        in_order = EpochSampler(5, 3, shuffle=False)
        assert np.concatenate([in_order.batch(0), in_order.batch(1)]).tolist() == [
            0,
            1,
            2,
            3,
            4,
            0,
        ]

    def test_subclass_with_pairs(self):
        class Pairs(EpochSampler):
            def epoch(self, number):
                order = super().epoch(number)
                return np.stack([order, order + 1], axis=1)

        assert Pairs(10, 4).batch(2).shape == (4, 2)

    @given(each=st.integers(1, 9), world=st.integers(1, 8))
    def test_shards_make_up_the_batch(self, each, world):
        indices = np.arange(each * world)
        parts = [shard(indices, rank, world) for rank in range(world)]
        np.testing.assert_array_equal(np.concatenate(parts), indices)
        assert {len(part) for part in parts} == {each}

    def test_impossible_requests(self):
        with pytest.raises(DataError, match="at least one item"):
            EpochSampler(0, 4)
        with pytest.raises(ConfigError, match="multiple of 3"):
            shard(np.arange(4), 0, 3)


class TestRandomness:
    def test_known_value(self):
        """Changing the derivation would change every run ever made with a seed."""
        assert derive_seed(0, "step", 1, 0) == 5214890826485785047

    def test_text_and_numbers_are_different_purposes(self):
        assert derive_seed(0, "1") != derive_seed(0, 1)
        assert derive_seed(0, 1, 23) != derive_seed(0, 12, 3)

    def test_streams_look_independent(self):
        draws = np.stack([numpy_generator(0, "x", i).normal(size=2000) for i in range(20)])
        correlation = np.asarray(np.corrcoef(draws))[~np.eye(20, dtype=bool)]
        assert np.abs(correlation).max() < 0.12  # 5 standard errors


class TestSchedule:
    def test_warm_up_peak_and_end(self):
        config = TrainConfig(steps=100, warmup=0.1, start_lr=0.1, final_lr=0.2)
        factors = [learning_rate_factor(step, config) for step in range(100)]
        assert factors[0] == pytest.approx(0.1 + 0.9 / 10)
        assert factors[9] == factors[10] == 1.0
        assert factors[99] == pytest.approx(0.2)
        assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))
        middle = 10 + 89 / 2  # half-way down the cosine
        assert np.interp(middle, range(100), factors) == pytest.approx(0.6, abs=1e-3)

    def test_constant(self):
        config = TrainConfig(steps=10, warmup=0.0, schedule="constant")
        assert {learning_rate_factor(step, config) for step in range(10)} == {1.0}

    @given(steps=st.integers(1, 50), warmup=st.floats(0, 1))
    def test_always_within_bounds(self, steps, warmup):
        config = TrainConfig(steps=steps, warmup=warmup)
        assert all(0.0 <= learning_rate_factor(s, config) <= 1.0 for s in range(steps))


class TestOptimizer:
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.norm = nn.LayerNorm(3)
            self.table = nn.Embedding(4, 3)
            self.cls_token = nn.Parameter(torch.zeros(1, 1, 3))
            self.frozen = nn.Linear(3, 3).requires_grad_(False)

    def names(self, model, group):
        known = {id(p): name for name, p in model.named_parameters()}
        return {known[id(p)] for p in group["params"]}

    def test_no_decay_on_biases_norms_and_embeddings(self):
        model = self.Model()
        decayed, plain = adamw(model, TrainConfig(weight_decay=0.3)).param_groups
        assert self.names(model, decayed) == {"linear.weight"}
        assert decayed["weight_decay"] == 0.3
        assert self.names(model, plain) == {
            "linear.bias", "norm.weight", "norm.bias", "table.weight", "cls_token",
        }  # fmt: skip
        assert plain["weight_decay"] == 0.0

    def test_decay_all(self):
        (group,) = adamw(self.Model(), TrainConfig(decay_all=True)).param_groups
        assert len(group["params"]) == 6

    def test_average_by_hand(self):
        model = nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            model.weight.fill_(0.0)
            average = Average(model, decay=0.5)
            expected = 0.0
            for step, value in enumerate([1.0, 2.0, 3.0]):
                model.weight.fill_(value)
                average.update(model, step)
                decay = min(0.5, (1 + step) / (10 + step))
                expected = decay * expected + (1 - decay) * value
        with average.applied_to(model):
            assert model.weight.item() == pytest.approx(expected)
        assert model.weight.item() == 3.0


@pytest.mark.parametrize("limit", [0.5, 1e3, math.inf])
@pytest.mark.parametrize("bad", [False, True])
def test_clipping_is_that_of_torch(limit, bad):
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape)) for shape in [(3, 4), (5,), (2,)]]
    for parameter in ours[:2]:  # nothing reads the third
        parameter.grad = torch.randn_like(parameter)
    if bad:
        assert ours[0].grad is not None
        ours[0].grad[0, 0] = torch.nan
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        assert mine.grad is not None
        other.grad = mine.grad.clone()
    norm = clip_on_cpu(torch.optim.SGD(ours), limit)
    assert torch.equal(norm, nn.utils.clip_grad_norm_(theirs, limit)) or bad
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        assert mine.grad is not None and other.grad is not None
        assert torch.allclose(mine.grad, other.grad, rtol=1e-6, atol=0, equal_nan=True)


class TestPrefetch:
    @pytest.mark.parametrize("workers", [0, 1, 7])
    def test_order(self, workers):
        with fetched_ahead(lambda step: step * step, range(3, 40), workers) as items:
            assert list(items) == [step * step for step in range(3, 40)]

    def test_runs_ahead_by_twice_the_workers_and_each_step_once(self):
        asked = Counter()
        with fetched_ahead(lambda step: asked.update([step]), range(100), 2) as items:
            for _ in range(10):
                next(items)
        assert max(asked) <= 14
        assert set(asked.values()) == {1}

    def test_error_is_raised_in_its_place_and_threads_end(self):
        def fetch(step):
            if step == 4:
                raise ValueError("no such frame")
            return step

        before = threading.active_count()
        with fetched_ahead(fetch, range(10), 3) as items:
            assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
            with pytest.raises(ValueError, match="no such frame"):
                next(items)
        assert threading.active_count() == before

    def test_batches_of_any_structure_become_tensors(self):
        @dataclass(frozen=True)
        class Batch:
            images: np.ndarray
            rest: tuple

        batch = Batch(np.ones((2, 3), np.uint8), ([torch.zeros(1)], {"name": "a"}))
        moved = to_device(batch, torch.device("cpu"))
        assert isinstance(moved.images, torch.Tensor)
        assert moved.images.dtype == torch.uint8
        assert moved.rest[1] == {"name": "a"}


class TestConfig:
    def test_unknown_key_gets_a_suggestion(self):
        with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
            resolve(TrainConfig, {"learning_rat": 1})

    @pytest.mark.parametrize(
        "key, value",
        [("steps", 0), ("ema", 1.0), ("warmup", 1.5), ("precision", "int8"), ("device", "tpu")],
    )
    def test_impossible_values(self, key, value):
        with pytest.raises(ConfigError, match=key):
            resolve(TrainConfig, {key: value})
