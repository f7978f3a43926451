"""Decision trees as plain arrays: what is kept of a forest, and how it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from tinbergen.saving import Saved

_PAIRS = 2**21  # of a frame and a tree that are followed at once


class Forest(Saved):
    """Trees that were grown by scikit-learn, without scikit-learn.

    A frame goes left where its value is at most the node's threshold.

    Attributes
    ----------
    feature_, threshold_, left_, right_
        ``(node,)`` of all trees, one behind the other; a leaf is its own child.
    values_
        ``(node, output)`` what a leaf says.
    roots_, depth_
        ``(tree,)`` first node of each; most steps from a root to a leaf.
    """

    feature_: np.ndarray
    threshold_: np.ndarray
    left_: np.ndarray
    right_: np.ndarray
    values_: np.ndarray
    roots_: np.ndarray
    depth_: int

    @classmethod
    def joined(cls, trees: Sequence[dict[str, np.ndarray]], depth: int) -> Self:
        """Join trees: ``feature``, ``threshold``, ``left``, ``right`` ``(node,)``, ``values``.

        Children are numbered within a tree; those of leaves are below 1.
        """
        sizes = np.array([len(tree["left"]) for tree in trees])
        forest = cls()
        forest.roots_ = np.cumsum(sizes) - sizes
        node = np.arange(sizes.sum())
        first = np.repeat(forest.roots_, sizes)
        for side in ("left", "right"):
            child = np.concatenate([tree[side] for tree in trees]).astype(np.int64)
            child = np.where(child > 0, child + first, node)
            setattr(forest, f"{side}_", child.astype(np.int32))
        feature = np.concatenate([tree["feature"] for tree in trees])
        forest.feature_ = np.maximum(feature, 0).astype(np.int32)
        forest.threshold_ = np.concatenate([t["threshold"] for t in trees]).astype(np.float64)
        forest.values_ = np.concatenate([tree["values"] for tree in trees]).astype(np.float32)
        forest.depth_ = int(depth)
        return forest

    @classmethod
    def of_random_forest(cls, model: Any) -> Self:
        """Take the trees of a fitted ``RandomForestClassifier``: values are class shares."""
        trees, deepest = [], 0
        for each in model.estimators_:
            tree = each.tree_
            shares = tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True)
            trees.append(
                {
                    "feature": tree.feature,
                    "threshold": tree.threshold,
                    "left": tree.children_left,
                    "right": tree.children_right,
                    "values": shares,
                }
            )
            deepest = max(deepest, tree.max_depth)
        return cls.joined(trees, deepest)

    @classmethod
    def of_boosting(cls, model: Any) -> Self:
        """Take the trees of a fitted ``HistGradientBoostingClassifier``: values are logits.

        A tree speaks for one class; two classes have one logit.
        """
        trees, deepest = [], 0
        for stage in model._predictors:
            for k, each in enumerate(stage):
                nodes = each.nodes
                values = np.zeros((len(nodes), len(stage)))
                values[:, k] = nodes["value"]
                trees.append(
                    {
                        "feature": nodes["feature_idx"].astype(np.int64),
                        "threshold": nodes["num_threshold"],
                        "left": nodes["left"],
                        "right": nodes["right"],
                        "values": values,
                    }
                )
                deepest = max(deepest, int(nodes["depth"].max()))
        return cls.joined(trees, deepest)

    def sums(self, x: np.ndarray) -> np.ndarray:
        """Return the sum over trees of what each says of each frame, ``(time, output)``.

        ``x`` is ``(time, column)``, without NaN.
        """
        found = np.empty((len(x), self.values_.shape[1]))
        at_once = max(1, _PAIRS // len(self.roots_))
        for start in range(0, len(x), at_once):
            part = np.ascontiguousarray(x[start : start + at_once])
            rows = (np.arange(len(part)) * part.shape[1])[:, None]
            values = part.ravel()
            node = np.broadcast_to(self.roots_, (len(part), len(self.roots_)))
            for _ in range(self.depth_):
                goes_left = values.take(rows + self.feature_.take(node)) <= self.threshold_.take(
                    node
                )
                node = np.where(goes_left, self.left_.take(node), self.right_.take(node))
            found[start : start + at_once] = self.values_[node].sum(axis=1, dtype=np.float64)
        return found
