"""One model, one job: evaluate, export, merge, quantize and the like."""
