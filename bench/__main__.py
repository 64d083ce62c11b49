"""`python -m bench [NAME …]`: run the named benchmarks, or all of them; `python -m bench training OPTIONS` runs one
that takes options."""

from __future__ import annotations

import importlib
import sys

NAMES = ("suppression", "evaluation", "tracking", "engines", "loading", "training")
WITH_OPTIONS = ("training",)


def main(words: list[str]) -> int:
    name, *options = words or [""]
    if name in WITH_OPTIONS:
        importlib.import_module(f"bench.{name}").main(options)
        return 0
    for name in words or NAMES:
        if name not in NAMES:
            print(f"bench: unknown benchmark {name!r}; there are {', '.join(NAMES)}", file=sys.stderr)
            return 2
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
