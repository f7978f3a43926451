"""Penalised Poisson regression of many units at once: preconditioned L-BFGS.

For each unit, with rates ``r = exp(F w + b)``, the loss is ``sum(r) - y'F w - b sum(y) +
alpha/2 |w|^2``. Two facts make it fast:

- The best intercept has a closed form, ``b = log(sum y / sum exp(F w))``, so it is never searched
  for, and the rates of a unit always sum to its counts.
- Were the rate constant (m), the second derivative would be ``m F'F + alpha``: diagonal in the
  principal axes of F, which ridge regression has anyway. Scaled by it, every unit is nearly round,
  and about ten steps do.

A step costs two matrix products with all units (F times the directions, and F' times the
residuals); where to stop along the directions costs none, as ``F w`` is kept.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from scipy.special import xlogy

from tinbergen.encoding.ridge import LinearPath

_MEMORY = 8
_LINE_STEPS = 6
_SLOPE_LEFT = 0.3  # of the slope at the start of a line: enough to go on with a new direction


class PoissonFit:
    """Weights of all units with counts, at one penalty after another.

    Parameters
    ----------
    path
        Axes, and their products with the counts.
    index, y
        The rows fitted on, and their counts ``(row, unit)``, each unit with a spike.

    Attributes
    ----------
    weights
        ``(axis, unit)``.
    gradient_norm
        ``(unit,)``: length of the gradient, scaled as in the module's text, relative to that at
        a constant rate.
    n_steps
        Directions taken, of all penalties.
    """

    def __init__(self, path: LinearPath, index: np.ndarray, y: np.ndarray):
        self._path, self._index = path, index
        kind = path.design.dtype
        self._y = y.astype(kind)
        self._total = self._y.sum(axis=0, dtype=np.float64)
        self._cross = (
            path.spectrum.vectors.T
            @ path.design.sums(
                index, self._y - self._y.mean(axis=0, dtype=np.float64).astype(kind)
            )[1]
        )
        self.weights = np.zeros(self._cross.shape)
        self.gradient_norm = np.full(len(self._total), np.inf)
        self.n_steps = 0
        # log rates without the intercept; their offset does not matter
        self._linear = np.zeros(self._y.shape, dtype=kind)

    @property
    def log_scale(self) -> np.ndarray:
        """``(unit,)`` intercepts: they make rates sum to counts."""
        top = self._linear.max(axis=0)
        summed = np.exp(self._linear - top).sum(axis=0, dtype=np.float64)
        return np.log(self._total) - top - np.log(summed)

    @property
    def highest(self) -> np.ndarray:
        """``(unit,)`` largest log rate of the rows."""
        return self._linear.max(axis=0) + self.log_scale

    @property
    def deviance(self) -> np.ndarray:
        """``(unit,)``; as rates sum to counts, only the likelihoods of the spikes differ."""
        best = xlogy(self._y, self._y).sum(axis=0, dtype=np.float64)
        linear = np.einsum("ru,ru->u", self._linear, self._y, dtype=np.float64)
        return 2 * (best - linear - self.log_scale * self._total)

    def column_weights(self) -> np.ndarray:
        """``(column, unit)`` weights of the design's columns."""
        return self._path.spectrum.vectors @ self.weights

    def run(self, alpha: float, tolerance: float, max_steps: int) -> bool:
        """Fit at ``alpha`` from where the last fit ended; return whether all units converged."""
        n = len(self._y)
        curvature = np.outer(self._path.spectrum.values, self._total / n) + alpha
        scale = 1 / np.sqrt(curvature)
        start = np.linalg.norm(self._cross / np.sqrt(curvature), axis=0)
        history: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=_MEMORY)
        gradient = self._gradient(alpha) * scale
        for steps_left in range(max_steps, -1, -1):
            self.gradient_norm = np.linalg.norm(gradient, axis=0) / np.where(start > 0, start, 1.0)
            moving = self.gradient_norm > tolerance
            if not moving.any() or not steps_left:
                break
            direction = np.where(moving, -_two_loop(gradient, history), 0.0)
            slope = np.einsum("au,au->u", direction, gradient)
            # A direction that does not descend can only come from rounding; begin anew from there.
            rising = moving & (slope >= 0)
            direction[:, rising] = -gradient[:, rising]
            slope[rising] = -np.square(gradient[:, rising]).sum(axis=0)
            step = self._move(direction * scale, slope, alpha)
            before, gradient = gradient, self._gradient(alpha) * scale
            history.append((direction * step, gradient - before))
            self.n_steps += 1
        # Sums of many steps in float32 drift a little from the weights' own.
        self._linear = self._path.design.dot(self._index, self.column_weights())
        return bool((self.gradient_norm <= tolerance).all())

    def _gradient(self, alpha: float) -> np.ndarray:
        rates = self._rates(self._linear)
        rates -= self._y
        products = self._path.design.sums(self._index, rates)[1]
        return self._path.spectrum.vectors.T @ products + alpha * self.weights

    def _rates(self, linear: np.ndarray) -> np.ndarray:
        rates = linear - linear.max(axis=0)
        np.exp(rates, out=rates)
        rates *= (self._total / rates.sum(axis=0, dtype=np.float64)).astype(rates.dtype)
        return rates

    def _move(self, direction: np.ndarray, slope: np.ndarray, alpha: float) -> np.ndarray:
        """Go along ``direction`` until its ``slope`` is small; return the step of each unit.

        The loss is convex, so Newton steps on its slope within a bracket find the place.
        """
        vectors = self._path.spectrum.vectors
        along = self._path.design.dot(self._index, vectors @ direction)
        linear_part = alpha * np.einsum("au,au->u", self.weights, direction)
        linear_part -= np.einsum("au,au->u", self._cross, direction)
        square = alpha * np.einsum("au,au->u", direction, direction)
        mean = along.mean(axis=0, dtype=np.float64)
        along -= mean.astype(along.dtype)
        enough = _SLOPE_LEFT * np.abs(slope)
        low, high = np.zeros(len(slope)), np.full(len(slope), np.inf)
        step = np.where(slope < 0, 1.0, 0.0)
        for _ in range(_LINE_STEPS):
            rates = self._rates(self._linear + along * step.astype(along.dtype))
            rates *= along
            slope = rates.sum(axis=0, dtype=np.float64)
            bend = np.einsum("ru,ru->u", rates, along) - slope**2 / self._total + square
            slope += linear_part + step * square
            done = (np.abs(slope) <= enough) | (step == 0)
            if done.all():
                break
            low = np.where(slope < 0, step, low)
            high = np.where(slope > 0, step, high)
            newton = step - slope / np.maximum(bend, 1e-300)
            middle = np.where(np.isfinite(high), (low + high) / 2, 2 * step)
            inside = (newton > low) & (newton < np.minimum(high, 4 * step + 1))
            step = np.where(done, step, np.where(inside, newton, middle))
        self.weights += direction * step
        along *= step.astype(along.dtype)
        self._linear += along
        return step


def _two_loop(gradient: np.ndarray, history: deque[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """L-BFGS product of the inverse second derivative and the gradient, each unit by itself.

    Nocedal & Wright, "Numerical optimization", algorithm 7.4.
    """
    direction = gradient.copy()
    done = []
    for moved, changed in reversed(history):
        bend = np.einsum("au,au->u", moved, changed)
        weight = np.divide(1.0, bend, out=np.zeros_like(bend), where=bend > 0)
        share = weight * np.einsum("au,au->u", moved, direction)
        direction -= share * changed
        done.append((weight, share))
    if history:
        moved, changed = history[-1]
        bend = np.einsum("au,au->u", moved, changed)
        size = np.einsum("au,au->u", changed, changed)
        direction *= np.where(bend > 0, bend / np.where(size > 0, size, 1.0), 1.0)
    for (moved, changed), (weight, share) in zip(history, reversed(done), strict=True):
        direction += (share - weight * np.einsum("au,au->u", changed, direction)) * moved
    return direction
