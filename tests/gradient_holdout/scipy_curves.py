"""Special functions of SciPy of one number, with the derivatives that handbooks have."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from scipy import special as s

from tinygrad_fc.domain import interval, nonzero, positive, real

from .entry import curve

AROUND = interval(-30, 30, (0.0, 1.0, -1.0))
RIGHT = interval(0, 30, (1.0, 2.0))
UNIT = interval(-1, 1, (0.0, 0.5))
SHARE = interval(0, 1, (0.5,))
ROOT = 2 / math.sqrt(math.pi)

special = partial(curve, "scipy.special")


def density(x: Any) -> Any:
    """Return the density of the normal distribution."""
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def hazard(x: Any) -> Any:
    """Return density over distribution of the normal distribution, at -x."""
    return math.sqrt(2 / math.pi) / s.erfcx(-x / math.sqrt(2))


special("j0", s.j0, lambda x: -s.j1(x), AROUND, lambda x: (s.jv(2, x) - s.j0(x)) / 2)
special("j1", s.j1, lambda x: (s.j0(x) - s.jv(2, x)) / 2, AROUND)
special("jv 3", lambda x: s.jv(3, x), lambda x: s.jvp(3, x), RIGHT)
special("y0", s.y0, lambda x: -s.y1(x), RIGHT)
special("y1", s.y1, lambda x: (s.y0(x) - s.yn(2, x)) / 2, RIGHT)
special("i0", s.i0, s.i1, AROUND, lambda x: (s.i0(x) + s.iv(2, x)) / 2)
special("i1", s.i1, lambda x: (s.i0(x) + s.iv(2, x)) / 2, AROUND)
special("i0e", s.i0e, lambda x: s.i1e(x) - np.sign(x) * s.i0e(x), nonzero)
special("k0", s.k0, lambda x: -s.k1(x), RIGHT)
special("k1", s.k1, lambda x: -(s.k0(x) + s.kn(2, x)) / 2, RIGHT)
special("k0e", s.k0e, lambda x: s.k0e(x) - s.k1e(x), positive)
special(
    "spherical_jn 1",
    lambda x: s.spherical_jn(1, x),
    lambda x: s.spherical_jn(1, x, derivative=True),
    RIGHT,
)
special(
    "airy",
    lambda x: s.airy(x)[0],
    lambda x: s.airy(x)[1],
    interval(-20, 20, (0.0,)),
    lambda x: x * s.airy(x)[0],
)
special(
    "erf", s.erf, lambda x: ROOT * np.exp(-x * x), real, lambda x: -2 * x * ROOT * np.exp(-x * x)
)
special("erfc", s.erfc, lambda x: -ROOT * np.exp(-x * x), AROUND)
special("erfcx", s.erfcx, lambda x: 2 * x * s.erfcx(x) - ROOT, interval(-5, 5, (0.0,)))
special("erfi", s.erfi, lambda x: ROOT * np.exp(x * x), interval(-8, 8, (0.0,)))
special("erfinv", s.erfinv, lambda x: np.exp(s.erfinv(x) ** 2) / ROOT, UNIT)
special("dawsn", s.dawsn, lambda x: 1 - 2 * x * s.dawsn(x), interval(-8, 8, (0.0,)))
special(
    "fresnel",
    lambda x: s.fresnel(x)[0],
    lambda x: np.sin(math.pi / 2 * x * x),
    interval(-8, 8, (0.0,)),
)
special("sici", lambda x: s.sici(x)[0], lambda x: np.sinc(x / math.pi), real)
special("expi", s.expi, lambda x: np.exp(x) / x, RIGHT)
special("exp1", s.exp1, lambda x: -np.exp(-x) / x, RIGHT)
special("gammaln", s.gammaln, s.digamma, positive, lambda x: s.polygamma(1, x))
special("gamma", s.gamma, lambda x: s.gamma(x) * s.digamma(x), interval(0, 30, (1.0, 2.0)))
special("rgamma", s.rgamma, lambda x: -s.rgamma(x) * s.digamma(x), RIGHT)
special("digamma", s.digamma, lambda x: s.polygamma(1, x), positive)
special("polygamma 1", lambda x: s.polygamma(1, x), lambda x: s.polygamma(2, x), positive)
special("expit", s.expit, lambda x: s.expit(x) * s.expit(-x), real)
special("log_expit", s.log_expit, lambda x: s.expit(-x), real)
special("logit", s.logit, lambda x: 1 / (x * (1 - x)), SHARE)
special("ndtr", s.ndtr, density, real, lambda x: -x * density(x))
special("ndtri", s.ndtri, lambda x: 1 / density(s.ndtri(x)), SHARE)
special("log_ndtr", s.log_ndtr, hazard, interval(-30, 8, (0.0,)))
special(
    "lambertw",
    lambda x: s.lambertw(x).real,
    lambda x: 1 / (x + np.exp(s.lambertw(x).real)),
    positive,
)
special("wrightomega", s.wrightomega, lambda x: s.wrightomega(x) / (1 + s.wrightomega(x)), AROUND)
special(
    "spence", s.spence, lambda x: -s.log1p(x - 1) / np.where(x == 1, 1, x - 1) - (x == 1), RIGHT
)
special(
    "ellipk", s.ellipk, lambda m: (s.ellipe(m) - (1 - m) * s.ellipk(m)) / (2 * m * (1 - m)), SHARE
)
special("ellipe", s.ellipe, lambda m: (s.ellipe(m) - s.ellipk(m)) / (2 * m), SHARE)
special("entr", s.entr, lambda x: -np.log(x) - 1, positive, lambda x: -1 / x)
special("exprel", s.exprel, lambda x: (np.exp(x) - s.exprel(x)) / x, interval(0.5, 30, (1.0,)))
special("cosm1", s.cosm1, lambda x: -np.sin(x), real)
special("cbrt", s.cbrt, lambda x: 1 / (3 * s.cbrt(x) ** 2), nonzero)
special("boxcox", lambda x: s.boxcox(x, 0.3), lambda x: x**-0.7, positive)
special("huber", lambda x: s.huber(1.5, x), lambda x: np.clip(x, -1.5, 1.5), real)
special(
    "pseudo_huber", lambda x: s.pseudo_huber(2.0, x), lambda x: x / np.sqrt(1 + (x / 2) ** 2), real
)
special(
    "gammainc 2.5",
    lambda x: s.gammainc(2.5, x),
    lambda x: x**1.5 * np.exp(-x) / s.gamma(2.5),
    RIGHT,
)
special(
    "gammaincc 0.5",
    lambda x: s.gammaincc(0.5, x),
    lambda x: -(x**-0.5) * np.exp(-x) / s.gamma(0.5),
    RIGHT,
)
special("betainc 2 3", lambda x: s.betainc(2, 3, x), lambda x: 12 * x * (1 - x) ** 2, SHARE)
special("stdtr 4", lambda x: s.stdtr(4, x), lambda x: 0.375 * (1 + x * x / 4) ** -2.5, real)
special(
    "hyp1f1",
    lambda x: s.hyp1f1(1.5, 2.5, x),
    lambda x: 0.6 * s.hyp1f1(2.5, 3.5, x),
    interval(-8, 8, (0.0,)),
)
special(
    "hyp2f1",
    lambda x: s.hyp2f1(0.5, 1.5, 2.5, x),
    lambda x: 0.3 * s.hyp2f1(1.5, 2.5, 3.5, x),
    interval(-8, 0.9, (0.0, 0.5)),
)
special("struve 0", lambda x: s.struve(0, x), lambda x: 2 / math.pi - s.struve(1, x), RIGHT)
special(
    "eval_legendre 5",
    lambda x: s.eval_legendre(5, x),
    lambda x: (315 * x**4 - 210 * x**2 + 15) / 8,
    interval(-2, 2, (0.0, 1.0)),
)
special(
    "owens_t", lambda x: s.owens_t(x, 0.5), lambda x: -density(x) * (s.ndtr(x / 2) - 0.5), AROUND
)
