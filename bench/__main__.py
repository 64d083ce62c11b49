"""`python -m bench [NAME …]`: run the named benchmarks, or all of them."""

from __future__ import annotations

import importlib
import sys

NAMES = ("suppression", "evaluation", "tracking", "engines", "training")


def main(names: list[str]) -> int:
    for name in names or NAMES:
        if name not in NAMES:
            print(f"bench: unknown benchmark {name!r}; there are {', '.join(NAMES)}", file=sys.stderr)
            return 2
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
