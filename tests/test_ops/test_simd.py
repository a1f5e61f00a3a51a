import math

import numpy as np
import pytest

from mmtaformer.ops import simd


@pytest.mark.parametrize("cached", [True, False])
def test_kernels_work_where_nothing_can_be_cached(monkeypatch, cached):
    compile_function = simd.numba.njit

    def njit(cache: bool = False, **options):
        if cache and not cached:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_function(**options)

    def double(number):
        return 2 * number

    monkeypatch.setattr(simd.numba, "njit", njit)
    assert simd.kernel(double)(4) == 8


def test_exponential_is_as_exact_as_float32():
    @simd.allocating
    def exponentials(numbers):
        result = np.empty_like(numbers)
        for i in range(numbers.shape[0]):
            result[i] = simd.exp(numbers[i])
        return result

    numbers = np.linspace(-87, 0, 20001, dtype=np.float32)
    expected = np.exp(numbers.astype(np.float64))
    # Relative to the result, beside what the rounding of the argument accounts for.
    error = np.abs(exponentials(numbers) / expected - 1)
    assert (error <= 2e-7 + 6e-8 * np.abs(numbers)).all()
    special = np.array([0, -100, -math.inf, math.nan], np.float32)
    one, tiny, tinier, not_a_number = exponentials(special)
    assert one == 1
    assert 0 <= tinier == tiny < 1e-37
    assert math.isnan(not_a_number)
