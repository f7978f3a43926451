import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tinbergen.actions import TCN
from tinbergen.errors import ConfigError
from tinbergen.nn.attention_pool import AttentionPool


def test_each_head_is_a_weighted_mean_of_values_and_places():
    torch.manual_seed(0)
    pool = AttentionPool(3, 5, 4, heads=2)
    torch.nn.init.normal_(pool.score_place)
    tokens = torch.randn(3, 5)
    found = pool(tokens.reshape(1, 15, 1))[0, :, 0]
    expected = []
    for head in range(2):
        scores = tokens @ pool.score.weight[head] + pool.score.bias[head]
        weights = torch.exp(scores + pool.score_place[:, head])
        values = tokens @ pool.value.weight.T + pool.value.bias + pool.value_place
        own = values[:, 2 * head : 2 * head + 2]
        expected.append((weights[:, None] * own).sum(dim=0) / weights.sum())
    torch.testing.assert_close(found, torch.cat(expected))


def test_a_network_finds_the_token_that_says_it(tmp_path):
    rng = np.random.default_rng(0)
    x, y = [], []
    for _ in range(4):
        codes = np.repeat(rng.integers(0, 2, 20), 20)
        tokens = rng.normal(0, 1, (400, 9, 3))
        place = np.repeat(
            rng.integers(0, 9, 20), 20
        )  # marked by its first number, signed by class
        tokens[np.arange(400), place] = np.stack([np.full(400, 6.0), 3.0 - 6.0 * codes, codes], 1)
        x.append(tokens.reshape(400, -1))
        y.append(codes)
    model = TCN(tokens=9, blocks=1, epochs=25, learning_rate=1e-2, length=100, smoothness=0.0)
    assert model.fit(x[:3], y[:3]).score(x[3:], y[3:]) > 0.9
    model.save(tmp_path)
    again = TCN.load(tmp_path)
    assert_allclose(again.predict_proba(x[3:])[0], model.predict_proba(x[3:])[0], atol=1e-6)
    with pytest.raises(ConfigError, match="27 features are not 4 tokens"):
        TCN(tokens=4, epochs=1).fit(x, y)
