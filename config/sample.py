"""The embedded sample on a laptop: two CPU cores, no network, under three minutes of training.

python prepare.py --dataset sample && python train.py config/sample.py
"""

dataset = "sample"
out_dir = "out/sample"

n_layer = 4
n_head = 4
n_embd = 128
block_size = 256
dropout = 0.0

batch_size = 16
gradient_accumulation_steps = 1
learning_rate = 3e-3
min_lr = 3e-4
beta2 = 0.99
warmup_iters = 50
max_iters = 800

eval_interval = 200
