"""One test for everything random: do two samples come from the same distribution?"""

import numpy as np
from scipy.stats import ks_2samp


def assert_same_distribution(a, b, alpha: float = 1e-4) -> None:
    """Fail if two samples differ by the Kolmogorov-Smirnov test at level `alpha`.

    Samples from the same continuous distribution fail once in 1 / `alpha` runs, others of n values
    each when their distribution functions differ by more than about 2.2 sqrt(2 / n). With ties,
    as counts have, the test fails less often."""
    a = np.asarray(a, float).ravel()
    b = np.asarray(b, float).ravel()
    assert np.isfinite(a).all(), "the first sample has NaN or infinity"
    assert np.isfinite(b).all(), "the second sample has NaN or infinity"
    result = ks_2samp(a, b)
    assert result.pvalue > alpha, (
        f"distributions differ: p = {result.pvalue:.2g}, largest difference {result.statistic:.3f}; "
        f"{len(a)} and {len(b)} values, mean {a.mean():.5g} and {b.mean():.5g}, "
        f"standard deviation {a.std():.5g} and {b.std():.5g}"
    )
