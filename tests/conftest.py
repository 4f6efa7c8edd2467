"""For all tests: `helpers` can be imported, and each process uses one thread, since the tensors are small."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)
