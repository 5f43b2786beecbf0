"""Records what passes over a session, and plays it back: for back-tests, bug reports.

::

    session = resilient_ws.connect(url)
    async with Recorder(session, "today.jsonl.zst"), session:
        ...

    for entry in read("today.jsonl.zst"):         # without any network
        ...

    async with Replay("today.jsonl.zst", speed=10) as replay:
        session = resilient_ws.connect(replay.url)
"""

from resilient_ws.recording.entries import Entry, EntryKind
from resilient_ws.recording.reader import read
from resilient_ws.recording.recorder import Recorder
from resilient_ws.recording.replay import Replay


__all__ = ["Entry", "EntryKind", "Recorder", "Replay", "read"]

# So that a traceback shows resilient_ws.recording.Recorder, not the inner module.
for _public in (Entry, Recorder, Replay, read):
    _public.__module__ = __name__
