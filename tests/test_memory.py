"""Memory that is kept from one batch to the next."""

import subprocess
import sys

PAGES = """
import resource, torch
from yolocore.memory import reused_memory

def pages_found_again():
    torch.ones(9 << 20)  # its memory is free again before the next one is made
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(6 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(pages_found_again())
with reused_memory():
    print(pages_found_again())
"""


def test_freed_memory_is_used_again_within() -> None:
    """In a process of its own, whose heap no other test has cut up."""
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    before, within = map(int, done.stdout.split())
    assert within < before / 10
