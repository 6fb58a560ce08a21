"""Studies of several runs: tuning, folds, comparisons, scaling, distillation."""
