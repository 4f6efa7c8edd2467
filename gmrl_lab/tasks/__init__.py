"""The algorithms of the paper's Table 1, one short file each."""

from gmrl_lab.tasks.base import Task
from gmrl_lab.tasks.lirpg import LIRPG
from gmrl_lab.tasks.lola import LOLA
from gmrl_lab.tasks.lpg import LPG
from gmrl_lab.tasks.maml import MAML
from gmrl_lab.tasks.mgrl import MGRL

__all__ = ["LIRPG", "LOLA", "LPG", "MAML", "MGRL", "Task"]
