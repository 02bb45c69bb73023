"""--reload: watches files for changes."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Final

from watchfiles import Change, DefaultFilter, watch

from tidegate.config import Config

logger = logging.getLogger("tidegate")

POLL: Final = 500  # milliseconds between looks at whether to go on watching


class SourceFilter(DefaultFilter):
    """Passes files that match an include and no exclude, and nothing in directories such as .git."""

    def __init__(self, includes: Sequence[str], excludes: Sequence[str]) -> None:
        super().__init__()
        self._includes = includes
        self._excludes = excludes

    def __call__(self, change: Change, path: str) -> bool:
        if not super().__call__(change, path):
            return False
        file = PurePath(path)
        if any(place.match(pattern) for pattern in self._excludes for place in (file, *file.parents)):
            return False
        return any(file.match(pattern) for pattern in self._includes)


class Watcher(threading.Thread):
    """Calls `changed` with the names of changed files, from its own thread."""

    def __init__(self, config: Config, changed: Callable[[str], None]) -> None:
        super().__init__(name="tidegate watcher", daemon=True)
        self._directories = config.reload_dirs or (config.app_dir,)
        self._filter = SourceFilter(config.reload_includes, config.reload_excludes)
        self._changed = changed
        self._stop_event = threading.Event()

    def run(self) -> None:
        logger.info("Watching %s for changes", ", ".join(map(os.path.abspath, self._directories)))
        for changes in watch(
            *self._directories,
            watch_filter=self._filter,
            stop_event=self._stop_event,
            rust_timeout=POLL,
            raise_interrupt=False,
        ):
            self._changed(_told(changes))

    def stop(self) -> None:
        self._stop_event.set()
        self.join()


def _told(changes: set[tuple[Change, str]]) -> str:
    names = sorted({os.path.relpath(path) for _, path in changes})
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
