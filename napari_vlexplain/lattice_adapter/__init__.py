"""The Attention Lattice Adapter: a model that is trained to explain itself (ALA, alternating epochs).

A small transformer beside a frozen image tower reads features of several of its depths and gives one map; the map
gates the tower's last features, from which a perception branch tells the class. Importing this imports no torch.
"""

from ..models.lattice_adapter.options import Options

__all__ = ["Options"]
