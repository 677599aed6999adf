"""Beyond one device: a run is handed to verl on Ray, and what it leaves becomes an ordinary run folder.

`settings.py` says what becomes of every configuration key, `export.py` writes a folder that verl runs, `launch.py` runs
it, `collect.py` reads it back. `inside/` is what verl's own processes import.
"""

from oneshot_rlvr.cluster.collect import collect
from oneshot_rlvr.cluster.export import Export, export
from oneshot_rlvr.cluster.preflight import preflight
from oneshot_rlvr.cluster.settings import overrides
from oneshot_rlvr.cluster.shape import Shape

__all__ = ["Export", "Shape", "collect", "export", "overrides", "preflight"]
