"""For all tests: each process uses one thread, since the tensors are small."""

import torch

torch.set_num_threads(1)
