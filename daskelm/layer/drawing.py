"""Standard normal numbers, exp, log and the normal distribution function, with the same bits on every machine.

The last bit of exp, log and pow differs between C libraries, and within one library between instruction sets; NumPy has
its own versions for some processors. The functions here use only operations that IEEE 754 rounds in one way (sums,
products, quotients and square roots, in a fixed order) and decimal arithmetic.
"""

from __future__ import annotations

import decimal
import math

import numpy as np

__all__ = ["exp", "log", "ndtr", "ndtri", "standard_normal"]

# ln 2 in two parts: the first ends in zeros, so that its products with whole numbers are exact.
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
# The terms x^n / n! of exp, |x| < ln(2) / 2, are below rounding beyond this one.
_EXP_TERMS = 15
# This many terms suffice for 10 standard deviations, which no draw reaches.
_NDTR_TERMS = 200
_NEWTON_STEPS = 50
# NumPy's ziggurat ends here (Marsaglia, Tsang, 2000): one number in 4,000 lies beyond, and is made with logarithms.
_ZIGGURAT_END = 3.6541528853610088
# Numbers drawn at once.
_BLOCK = 2048


def log(x: float) -> float:
    """Natural logarithm of a number, correctly rounded except for one number in 10^23."""
    context = decimal.Context(prec=40, rounding=decimal.ROUND_HALF_EVEN, Emin=-9999, Emax=9999, clamp=0, traps=[])
    return float(context.ln(decimal.Decimal(x)))


def exp(x):
    """Exponential function of a float64 number or array, to about one unit in the last place."""
    whole = np.rint(x * (1 / (_LN2_HIGH + _LN2_LOW)))
    rest = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    total = 1.0
    for n in range(_EXP_TERMS, 0, -1):
        total = 1.0 + total * rest / n
    return np.ldexp(total, whole.astype(np.int32))


def _density(z):
    return exp(-0.5 * (z * z)) / math.sqrt(2 * math.pi)


def ndtr(z):
    """Normal distribution function at float64 numbers within 10 standard deviations, to 2e-16."""
    # Marsaglia (2004): z + z^3 / 3 + z^5 / (3 * 5) + ..., all of one sign.
    square, total = z * z, 1.0
    for n in range(_NDTR_TERMS, 0, -1):
        total = 1.0 + total * square / (2 * n + 1)
    return 0.5 + z * total * _density(z)


def ndtri(p: float) -> np.float64:
    """Quantile of the normal distribution, for p from 0.5 to 1 - 1e-15."""
    # The distribution function is concave here, so that Newton's steps from the left never pass the root.
    z = np.float64(0.0)
    for _ in range(_NEWTON_STEPS):
        z = z + (p - ndtr(z)) / _density(z)
    return z


def standard_normal(stream: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers as ``stream.standard_normal(shape)``, except for the last bits of one in 4,000.

    Numbers in the tails are computed here from the same random bits, because NumPy takes their logarithms from the C
    library. Elsewhere NumPy multiplies two numbers, once; in one case of a hundred it compares with an exponential
    function, and rounding decides that comparison less than once in 10^16.
    """
    out = np.empty(math.prod(shape))
    bits, start = stream.bit_generator, 0
    while start < len(out):
        before = bits.state
        block = out[start : start + _BLOCK]
        stream.standard_normal(out=block)
        in_tails = np.flatnonzero(np.abs(block) >= _ZIGGURAT_END)
        start += len(block)
        if len(in_tails):
            # Draw again up to the first number in a tail, and make that one here.
            n_before = int(in_tails[0])
            start += n_before - len(block)
            bits.state = before
            stream.standard_normal(n_before)
            out[start] = _in_tail(bits)
            start += 1
    return out.reshape(shape)


def _in_tail(bits: np.random.BitGenerator) -> float:
    """The next normal number, which lies in a tail, by NumPy's rule."""
    # The low byte of a word is the layer of the ziggurat. Only the last layer has a tail: NumPy rejected a draw in any
    # other one, and used one more word to do so.
    while (word := int(bits.random_raw())) & 0xFF:
        bits.random_raw()
    while True:
        x, y = (-log(1.0 - (int(bits.random_raw()) >> 11) * 2.0**-53) for _ in range(2))
        x *= 0.27366123732975828
        if y + y > x * x:
            return -(_ZIGGURAT_END + x) if word >> 17 & 1 else _ZIGGURAT_END + x
