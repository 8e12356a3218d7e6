"""Where cores are few, an engine's processes go before the one in front of them.

The engine's next step waits for its scheduler to get a core. If the front has it just then, sending
what was written, all streams stand still for as long; sending a little later costs nobody anything.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def yield_to_engine(niceness: int) -> None:
    """Makes every thread of this process so much nicer; processes it has started stay as they are.

    Args:
        niceness: As `nice` counts, from 0. Threads that are started later have it from who starts
            them. Elsewhere than on Linux, where threads have none of their own, nothing happens.
    """
    if not niceness or not sys.platform.startswith("linux"):
        return
    for thread in [int(each.name) for each in Path("/proc/self/task").iterdir()]:
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is as nice as can be
            os.setpriority(
                os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + niceness
            )
