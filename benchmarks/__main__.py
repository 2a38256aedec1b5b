"""All benchmarks, one after the other: `python -m benchmarks`, or `make bench`."""

from benchmarks import input_path, iteration, meta_step, methods, oucl

for benchmark in (input_path, oucl, meta_step, iteration, methods):
    benchmark.main()
