"""stable-baselines3's A2C on Qbert in a process of its own: neither library's memory or threads touch the other.

python -m benchmarks.baselines3 64      64 environments; learns at each line that it reads, and prints its times
"""

import sys
import time

import ale_py
import gymnasium
from stable_baselines3 import A2C
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

gymnasium.register_envs(ale_py)
frames = VecFrameStack(make_atari_env("QbertNoFrameskip-v4", n_envs=int(sys.argv[1]), seed=0), 4)
model = A2C("CnnPolicy", frames, seed=0, device="cpu")
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    model.learn(int(line), reset_num_timesteps=False)
    print("spent", time.perf_counter() - wall, time.process_time() - cpu, flush=True)
