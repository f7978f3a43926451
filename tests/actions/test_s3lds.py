"""S3LDS: its bound against sums over all paths, and what it has in common with the TCN."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from torch.distributions import Categorical, Normal

from tinbergen.actions.s3lds import S3LDS, S3Network
from tinbergen.actions.sequences import Frames
from tinbergen.actions.switching import SwitchingDynamics
from tinbergen.actions.tcn import TCN
from tinbergen.errors import ConfigError


def drawn(seed: int, classes: int, latents: int, channels: int) -> SwitchingDynamics:
    """Return a model whose parameters were drawn."""
    torch.manual_seed(seed)
    model = SwitchingDynamics(classes, latents, channels).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    return model


def posterior(seed: int, frames: int, model: SwitchingDynamics, codes: list[int]):
    """Return features, and a posterior that was drawn, for one sequence."""
    rng = torch.Generator().manual_seed(seed)
    classes, latents = model.offset.shape
    x = torch.randn(1, len(model.mean), frames, generator=rng).double()
    q = torch.randn(1, classes, frames, generator=rng).double().softmax(dim=1)
    for t, code in enumerate(codes):
        if code >= 0:
            q[0, :, t] = torch.eye(classes)[code]
    entropy = torch.special.entr(q).sum(dim=1)
    mean = torch.randn(1, classes, latents, frames, generator=rng).double()
    log_variance = torch.randn(1, classes, latents, frames, generator=rng).double() - 1
    return x, q, entropy, mean, log_variance


@torch.no_grad()
def bound_of(model: SwitchingDynamics, x, q, entropy, mean, log_variance, draws: int = 20_000):
    """Return the mean bound over draws of the noise."""
    noise = torch.randn(draws, *mean.shape[1:], generator=torch.Generator().manual_seed(1))
    many = [each.expand(draws, *each.shape[1:]) for each in (x, q, entropy, mean, log_variance)]
    terms = model(*many, noise.double())
    return float((terms.reconstruction - terms.latents - terms.classes).sum(dim=1).mean())


@torch.no_grad()
def log_evidence(model: SwitchingDynamics, x: torch.Tensor, codes: list[int]) -> float:
    """Return log p(x, known classes): latents of one dimension on a grid, all classes summed."""
    grid = np.linspace(-9, 9, 721)
    step = np.log(grid[1] - grid[0])
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    classes = len(p["offset"])
    seen = norm.logpdf(
        x[0].numpy()[:, :, None],
        p["loading"][:, :1, None] * grid + p["mean"][:, None, None],
        np.exp(0.5 * p["log_seen_noise"])[:, None, None],
    ).sum(axis=0)
    allowed = [[k for k in range(classes) if code in (-1, k)] for code in codes]
    ahead = {k: norm.logpdf(grid) - np.log(classes) + seen[0] for k in allowed[0]}
    for t in range(1, x.shape[2]):
        after = {}
        for k in allowed[t]:
            arrived = norm.logpdf(
                grid[:, None],
                p["dynamics"][k, 0, 0] * grid + p["offset"][k, 0],
                np.exp(0.5 * p["log_noise"][k, 0]),
            )
            ways = []
            for j, log_p in ahead.items():
                score = p["stay"][j][:, None] + p["lead"] * grid
                ways.append(
                    logsumexp(arrived + log_p + score[k] - logsumexp(score, axis=0), axis=1)
                )
            after[k] = logsumexp(ways, axis=0) + step + seen[t]
        ahead = after
    return float(logsumexp(list(ahead.values())) + step)


@pytest.mark.parametrize("codes", [[-1], [-1, -1, -1], [1, -1, 0], [-1, 1, -1, -1]])
@pytest.mark.parametrize("seed", [0, 1])
def test_bound_is_below_the_evidence(codes, seed):
    model = drawn(seed, 2, 1, 2)
    given = posterior(seed, len(codes), model, codes)
    assert bound_of(model, *given) <= log_evidence(model, given[0], codes) + 0.05


def test_bound_is_the_evidence_where_the_posterior_is_exact():
    model = drawn(0, 3, 1, 2)
    x, q, *_ = posterior(0, 1, model, [-1])
    precision = model.log_seen_noise.exp().reciprocal()
    variance = 1 / (1 + (model.loading[:, 0].square() * precision).sum())
    mean = variance * (model.loading[:, 0] * precision * (x[0, :, 0] - model.mean)).sum()
    uniform = torch.full_like(q, 1 / 3)
    shape = (1, 3, 1, 1)
    found = bound_of(
        model, x, uniform, torch.full((1, 1), np.log(3)), mean.expand(shape),
        variance.log().expand(shape), draws=1,
    )  # fmt: skip
    np.testing.assert_allclose(found, log_evidence(model, x, [-1]), atol=1e-6)


@pytest.mark.parametrize("codes", [[-1, -1, -1, -1], [2, -1, 0, -1]])
def test_bound_is_the_mean_over_its_posterior(codes):
    """Every term anew, by drawing classes and latents from the posterior."""
    draws, model = 200_000, drawn(3, 3, 2, 4)
    x, q, entropy, mean, log_variance = given = posterior(3, 4, model, codes)
    torch.manual_seed(0)
    y = Categorical(q[0].T).sample((draws,))
    with torch.no_grad():
        total = torch.zeros(draws).double()
        before = torch.empty(0)
        for t in range(4):
            k = y[:, t]
            own = Normal(mean[0, k, :, t], (0.5 * log_variance[0, k, :, t]).exp())
            z = own.sample()
            total -= own.log_prob(z).sum(dim=1) + q[0, :, t].log()[k]
            total += Normal(
                z @ model.loading.T + model.mean, (0.5 * model.log_seen_noise).exp()
            ).log_prob(x[0, :, t]).sum(dim=1)  # fmt: skip
            if t == 0:
                total += Normal(0.0, 1.0).log_prob(z).sum(dim=1) - np.log(3)
            else:
                logits = model.stay[y[:, t - 1]] + before @ model.lead.T
                total += Categorical(logits=logits).log_prob(k)
                arrived = torch.einsum("nde,ne->nd", model.dynamics[k], before) + model.offset[k]
                noise = (0.5 * model.log_noise[k]).exp()
                total += Normal(arrived, noise).log_prob(z).sum(dim=1)
            before = z
    error = float(total.std()) / draws**0.5
    np.testing.assert_allclose(bound_of(model, *given), float(total.mean()), atol=5 * error)


def simulated(seed: int, frames: int = 400):
    rng = np.random.default_rng(seed)
    y = (np.cumsum(rng.random(frames) < 0.03) % 2).astype(int)
    return y[:, None] * [1.0, -1.0, 0.5] + rng.normal(size=(frames, 3)), y


SMALL: dict[str, Any] = {"blocks": 2, "width": 8, "epochs": 3, "length": 100, "batch_size": 2}
# What the classifier learns is the same; the norm of the whole gradient is not.
SAME: dict[str, Any] = SMALL | {"clip": 0.0}


def few(codes: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(codes)) % 50 < 5, codes, -1)


class TestIsTheSupervisedModel:
    @pytest.mark.parametrize("divergence", [0.0, 1.0])
    def test_with_labels_on_all_frames(self, divergence):
        x, y = simulated(0)
        plain = TCN(**SAME).fit([x], [y])
        model = S3LDS(**SAME, divergence=divergence).fit([x], [y])
        network: Any = model.network_
        for name, value in plain.network_.state_dict().items():
            torch.testing.assert_close(network.classifier.state_dict()[name], value)
        np.testing.assert_allclose(
            model.predict_proba([x])[0], plain.predict_proba([x])[0], atol=1e-5
        )

    def test_without_weight_on_the_bound(self):
        x, y = simulated(0)
        plain = TCN(**SAME).fit([x], [few(y)]).predict_proba([x])[0]
        model = S3LDS(**SAME, generative=0.0, balance=0.0).fit([x], [few(y)]).predict_proba([x])[0]
        np.testing.assert_allclose(model, plain, atol=1e-5)

    def test_but_not_with_few_labels(self):
        x, y = simulated(0)
        plain = TCN(**SMALL).fit([x], [few(y)]).predict_proba([x])[0]
        model = S3LDS(**SMALL).fit([x], [few(y)]).predict_proba([x])[0]
        assert np.abs(model - plain).max() > 1e-3


class TestGradients:
    def task(self, codes, balance=0.0, **settings) -> tuple[Any, Any, dict[str, Any]]:
        settings |= {"dropout": 0.0, "smoothness": 0.0, "balance": balance}
        model = S3LDS(**SMALL, **settings)
        model.classes_, model.n_features_, model.absent_ = ("a", "b"), 3, ()
        x = np.random.default_rng(0).normal(size=(2, 60, 3)).astype(np.float32)
        frames = Frames.of(list(x), codes)
        task = model._task(frames, None, 100)
        torch.manual_seed(0)
        network = task.build().train()
        batch: dict[str, Any] = frames.take(np.array([[0, 0], [1, 0]]), 60)
        batch["share"] = 1.0
        return task, network, batch

    def loss(self, task, network, batch):
        return task.loss(network, batch, torch.Generator().manual_seed(0))["loss"]

    def terms(self, out):
        names = ("reconstruction", "latents", "classes")
        return torch.stack([out[f"bound_{name}"] for name in names], dim=2)

    def test_unlabelled_frames_teach_the_classifier_through_the_bound_alone(self):
        none = [np.full(60, -1)] * 2
        for weight, taught in ((0.0, False), (1.0, True)):
            task, network, batch = self.task(none, generative=weight)
            self.loss(task, network, batch).backward()
            gradient = network.classifier.head.weight.grad
            assert bool(gradient.abs().sum() > 0) == taught

    def test_balance_keeps_unlabelled_frames_from_a_single_class(self):
        codes = np.full((2, 60), -1)
        codes[0, :20] = 0
        task, network, batch = self.task(list(codes), generative=0.0, balance=1.0)
        logits = torch.zeros(2, 2, 60)
        assert float(task._imbalance({"logits": logits}, batch)) == pytest.approx(0, abs=1e-6)
        logits[:, 0, :20] = 50  # of which the second sequence is unlabelled
        one = (20 + 80 / 2) / 100
        expected = np.log(2) + one * np.log(one) + (1 - one) * np.log(1 - one)
        found = float(task._imbalance({"logits": logits}, batch))
        assert found == pytest.approx(expected, rel=1e-5)
        known = batch | {"codes": torch.zeros(2, 60, dtype=torch.int64)}
        assert float(task._imbalance({"logits": logits}, known)) == 0

    def test_labelled_frames_take_no_gradient_from_the_bound(self):
        codes = np.full((2, 60), -1)
        codes[0, 10:20] = 1
        task, network, batch = self.task(list(codes))
        out = task._run(network, batch, torch.Generator().manual_seed(0))
        out["logits"].retain_grad()
        self.terms(out).sum().backward()
        gradient = out["logits"].grad.abs().sum(dim=1)
        assert (gradient[0, 10:20] == 0).all()
        assert (gradient[0, 20:] > 0).all() and (gradient[1] > 0).all()

    def test_sequences_of_a_batch_do_not_meet(self):
        task, network, batch = self.task([np.full(60, -1)] * 2)
        batch["x"].requires_grad_()
        out = task._run(network, batch, torch.Generator().manual_seed(0))
        self.terms(out)[0].sum().backward()
        assert (batch["x"].grad[1] == 0).all()
        assert batch["x"].grad[0].abs().sum() > 0

    def test_frames_beyond_the_end_do_not_count(self):
        task, network, batch = self.task([np.full(60, -1)] * 2)
        batch["inside"] = torch.ones(2, 1, 60)
        batch["inside"][1, :, 40:] = 0
        losses = []
        for filled in (0.0, 7.0):
            batch["x"][1, :, 40:] = filled
            losses.append(float(self.loss(task, network, batch).detach()))
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)

    def test_divergences_rise_from_zero(self):
        task, network, batch = self.task([np.full(60, -1)] * 2)
        with torch.no_grad():
            at = [float(self.loss(task, network, batch | {"share": s})) for s in (0, 0.25, 0.5, 1)]
            terms = task._run(network, batch, torch.Generator().manual_seed(0))
        assert at[0] == pytest.approx(-float(terms["bound_reconstruction"].mean()) / 3, rel=1e-5)
        assert at[1] - at[0] == pytest.approx((at[2] - at[0]) / 2, rel=1e-4)
        assert at[2] == at[3] > at[0]


def test_extra_classes_saving_and_seeds(tmp_path):
    x, y = simulated(0)
    model = S3LDS(**SMALL, extra_classes=2, random_state=5).fit([x], [few(y)])
    states, named = model.state_proba([x])[0], model.predict_proba([x])[0]
    assert states.shape == (400, 4)
    np.testing.assert_allclose(
        named, states[:, :2] / states[:, :2].sum(axis=1, keepdims=True), atol=1e-5
    )
    model.save(tmp_path / "model")
    again = S3LDS(**SMALL, extra_classes=2, random_state=5).fit([x], [few(y)])
    for other in (S3LDS.load(tmp_path / "model"), again):
        np.testing.assert_array_equal(other.predict_proba([x])[0], named)
        assert other.bound([x, x[:50]]) == model.bound([x, x[:50]])


def test_bound_of_the_fitted_model_grows_with_training():
    x, _ = zip(*(simulated(i) for i in range(2)), strict=True)
    codes = [np.full(400, -1) for _ in x]
    codes[0][:2] = 0, 1
    short = S3LDS(**{**SMALL, "epochs": 1}, annealed=0.0).fit(x, codes).bound(x)
    longer = S3LDS(**{**SMALL, "epochs": 15}, annealed=0.0).fit(x, codes).bound(x)
    assert sum(longer) > sum(short)


@pytest.mark.parametrize("setting", [{"n_latents": 0}, {"extra_classes": -1}, {"annealed": -1}])
def test_settings_are_refused(setting):
    x, y = simulated(0)
    with pytest.raises(ConfigError, match=next(iter(setting))):
        S3LDS(**SMALL, **setting).fit([x], [y])


def test_all_classes_are_computed_at_once():
    """Brute force over pairs of classes gives the same divergence of latents."""
    model = drawn(0, 3, 2, 2)
    _, q, _, mean, log_variance = posterior(0, 3, model, [-1, -1, -1])
    with torch.no_grad():
        found = model._latents(q, mean, log_variance, log_variance.exp())[0, 1:]
        expected = torch.zeros(2).double()
        for t, j, k in product((1, 2), range(3), range(3)):
            ahead = model.dynamics[k] @ mean[0, j, :, t - 1] + model.offset[k]
            spread = model.dynamics[k].square() @ log_variance[0, j, :, t - 1].exp()
            own, noise = log_variance[0, k, :, t].exp(), model.log_noise[k].exp()
            away = (mean[0, k, :, t] - ahead).square() + spread + own
            each = 0.5 * (away / noise + noise.log() - own.log() - 1).sum()
            expected[t - 1] += q[0, j, t - 1] * q[0, k, t] * each
    torch.testing.assert_close(found, expected)


def test_network_counts_all_classes_in_one_pass():
    model = S3LDS(**SMALL)
    model.classes_, model.n_features_ = tuple("abcd"), 3
    network = model._network(weak=False)
    assert isinstance(network, S3Network)
    assert network.posterior.out_channels == 2 * 4 * model.n_latents
