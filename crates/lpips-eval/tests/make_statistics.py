"""Writes fixtures/statistics.json: paired tests as SciPy computes them.

    python3 make_statistics.py

Needs numpy and SciPy 1.15 or later.
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats


def row(name, differences, exact):
    d = np.asarray(differences, dtype=np.float64)
    t = stats.ttest_rel(d, np.zeros_like(d))
    if exact:
        kept = d[d != 0]
        # All signs that there are, which is exact with ties as well.
        method = stats.PermutationMethod(n_resamples=2 ** len(d)) if len(kept) <= 14 else "exact"
    else:
        method = "asymptotic"
    w = stats.wilcoxon(d, zero_method="wilcox", correction=not exact, method=method)
    return {
        "name": name,
        "differences": d.tolist(),
        "t": float(t.statistic),
        "t_p": float(t.pvalue),
        "w": float(w.statistic),
        "w_p": float(w.pvalue),
    }


def main():
    rng = np.random.default_rng(20261122)
    coarse = lambda n: np.round(rng.normal(0.1, 0.5, n) * 5) / 5
    rows = [
        row("six", rng.normal(0.3, 1, 6), True),
        row("six, ties and a zero", [0.2, -0.2, 0.4, 0.0, 0.4, 0.6], True),
        row("twenty", rng.normal(0.2, 1, 20), True),
        row("fourteen, ties", [1, -1, 2, 2, -3, 4, 4, 4, 5, -5, 6, 7, 8, 8], True),
        row("forty, ten of them zero", np.concatenate([rng.normal(0.2, 1, 30), np.zeros(10)]), True),
        row("five hundred", rng.normal(0.05, 1, 500), False),
        row("five hundred, ties and zeros", coarse(500), False),
        row("sixty, all positive", rng.uniform(0.1, 1, 60), False),
    ]
    path = Path(__file__).parent / "fixtures" / "statistics.json"
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
