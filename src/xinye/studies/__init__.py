"""Several runs: tuning, folds, comparisons, scaling, distillation."""
