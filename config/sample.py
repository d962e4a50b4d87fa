"""The embedded sample on a laptop: two CPU cores, no GPU, no network.

python prepare.py --dataset sample && python train.py config/sample.py
"""

dataset = "sample"
out_dir = "out/sample"

n_layer = 2
n_head = 3
n_embd = 192
block_size = 128
dropout = 0.0
init_std = 0.05

batch_size = 8
gradient_accumulation_steps = 1
learning_rate = 4e-3
min_lr = 2e-4
beta2 = 0.99
warmup_iters = 50
max_iters = 2200

eval_interval = 550
