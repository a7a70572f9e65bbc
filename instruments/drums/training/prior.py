"""Fit the prior of the network: a Gaussian mixture over z and knobs for each class."""

from __future__ import annotations

import numpy as np

from instruments.drums.classes import CLASSES

MOST_PARTS = 8
HITS_PER_PART = 25
ROUNDS = 40
SHRINKAGE = 0.1
LEAST_VARIANCE = 1e-3


def fit_priors(
    numbers: np.ndarray, spread: np.ndarray, drums: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Fit a mixture for each class.

    Args:
        numbers: (hits, 23) z and knobs.
        spread: (hits, 16) variances of z.
        drums: (hits,) classes.
        weights: (hits,) of the hits.

    Returns:
        For each class ``share`` (parts,), ``mean`` (parts, 23) and ``factor`` (parts, 23, 23), the Cholesky factor of
        the covariance.
    """
    found = {}
    for index, drum in enumerate(CLASSES):
        chosen = drums == index
        extra = np.concatenate((spread[chosen].mean(0), np.zeros(numbers.shape[1] - spread.shape[1])))
        share, mean, covariance = mixture(numbers[chosen].astype(float), weights[chosen], extra)
        found[f"prior.{drum}.share"] = share
        found[f"prior.{drum}.mean"] = mean
        found[f"prior.{drum}.factor"] = np.linalg.cholesky(covariance)
    return found


def mixture(numbers: np.ndarray, weights: np.ndarray, extra: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit a Gaussian mixture by expectation maximisation.

    Args:
        numbers: (hits, n).
        weights: (hits,).
        extra: (n,) variance that is added to each part.

    Returns:
        Shares (parts,), means (parts, n) and covariances (parts, n, n).
    """
    parts = int(np.clip(len(numbers) // HITS_PER_PART, 1, MOST_PARTS))
    random = np.random.default_rng(7)
    overall = np.cov(numbers.T, aweights=weights)
    means = numbers[random.choice(len(numbers), parts, replace=False)]
    covariances = np.repeat(overall[None], parts, 0) + np.diag(extra + LEAST_VARIANCE)
    shares = np.full(parts, 1 / parts)
    for _ in range(ROUNDS):
        densities = [_log_density(numbers, *part) for part in zip(means, covariances, strict=True)]
        odds = np.array(densities) + np.log(shares)[:, None]
        belongs = np.exp(odds - odds.max(0))
        belongs = weights * belongs / belongs.sum(0)
        mass = belongs.sum(1) + 1e-6
        shares = mass / mass.sum()
        means = belongs @ numbers / mass[:, None]
        for part in range(parts):
            off = numbers - means[part]
            own = (belongs[part, :, None] * off).T @ off / mass[part]
            covariances[part] = (1 - SHRINKAGE) * own + SHRINKAGE * np.diag(np.diag(overall)) / 2
            covariances[part] += np.diag(extra + LEAST_VARIANCE)
    return shares, means, covariances


def _log_density(numbers: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, (numbers - mean).T)
    return np.asarray(-0.5 * (white**2).sum(0) - np.log(np.diag(factor)).sum())
