"""Draws: what NumPy and SciPy give to the last bits, and the same bits whatever instructions the processor has."""

import json
import os
import subprocess
import sys
from decimal import Decimal, localcontext

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from daskelm.layer.drawing import exp, log, ndtr, ndtri, standard_normal

# Fingerprints of a drawn layer of each kind, with a scale taken from rows, and a digest of many normal numbers.
DRAW = """
import hashlib, json
import numpy as np
from daskelm.layer.drawing import standard_normal
from daskelm.layer.layer import Layer
from daskelm.layer.scale import Scale
from daskelm.layer.neurons import KINDS

X = np.random.default_rng(5).integers(-2**40, 2**40, (5000, 7)) * 2.0**-37
normal = standard_normal(np.random.default_rng(3), (200_000, 2))
drawn = {"normal": hashlib.sha256(normal.tobytes()).hexdigest()}
scales = {"": Scale.of(X), " weighted": Scale.of(X, abs(X[:, 0])), " by columns": Scale.of(X.copy("F"))}
for name, scale in scales.items():
    for kind in (*KINDS, np.sin):
        drawn[str(kind) + name] = Layer.draw([(7 if kind == "lin" else 500, kind)], 7, 3, "f8", scale).fingerprint
print(json.dumps(drawn))
"""
# What NumPy chooses among on this processor; of the first, nothing is taken away.
SUPPORTED = [feature for feature in __cpu_dispatch__ if __cpu_features__[feature]]
PROCESSORS = [
    {},
    {"NPY_DISABLE_CPU_FEATURES": " ".join(SUPPORTED[1:])},
    {"NPY_DISABLE_CPU_FEATURES": " ".join(SUPPORTED), "OPENBLAS_CORETYPE": "Nehalem"},
    {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX2_Usable,-FMA_Usable", "OPENBLAS_CORETYPE": "Haswell"},
]


def test_a_seed_draws_the_same_layer_with_other_instructions():
    drawn = []
    for variables in PROCESSORS:
        command = [sys.executable, "-c", DRAW]
        run = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True)
        drawn.append(json.loads(run.stdout))
    assert drawn.count(drawn[0]) == len(PROCESSORS)
    # How an array lies in memory decides nothing either.
    assert all(drawn[0][name] == drawn[0][f"{name} by columns"] for name in ("lin", "tanh"))


def test_normal_numbers_are_numpys_but_for_the_last_bit_in_the_tails():
    mine, theirs = np.random.default_rng(3), np.random.default_rng(3)
    drawn, expected = standard_normal(mine, (1000, 500)), theirs.standard_normal((1000, 500))
    in_tails = abs(expected) > 3.65415288536101
    assert in_tails.sum() > 100
    np.testing.assert_array_equal(drawn[~in_tails], expected[~in_tails])
    np.testing.assert_array_max_ulp(drawn, expected, 2)
    assert mine.bit_generator.state == theirs.bit_generator.state


@given(pieces=st.lists(st.integers(0, 5000), max_size=6), seed=st.integers(0, 99))
def test_any_pieces_are_the_same_numbers(pieces, seed):
    stream = np.random.default_rng(seed)
    drawn = [standard_normal(stream, (n,)) for n in pieces]
    whole = standard_normal(np.random.default_rng(seed), (sum(pieces),))
    np.testing.assert_array_equal(np.concatenate([*drawn, []]), whole)


def test_functions_are_scipys_to_the_last_bits():
    z = np.linspace(-9, 9, 10_001)
    np.testing.assert_allclose(ndtr(z), scipy.special.ndtr(z), rtol=0, atol=1e-15)
    np.testing.assert_array_max_ulp(exp(5 * z), np.exp(5 * z), 2)
    for p in (0.5, 0.75, 0.9, 0.999, 1 - 1e-9):
        assert ndtri(p) == pytest.approx(scipy.special.ndtri(p), rel=1e-8 if p > 0.9999 else 1e-13)


@given(x=st.floats(2.0**-53, 1e300), precision=st.integers(1, 50))
def test_logarithms_are_rounded_correctly_whatever_the_decimal_context(x, precision):
    with localcontext() as context:
        context.prec = 60
        expected = float(Decimal(x).ln())
        context.prec = precision
        assert log(x) == expected
