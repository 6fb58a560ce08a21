"""Jobs for one model: evaluate, export, merge, quantize, benchmark and the like."""
