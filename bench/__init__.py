"""Speed as ratios: each command times its contestants in turns within one run, and prints medians.

Absolute times depend on the machine and on its neighbours; the last column does much less.
"""
