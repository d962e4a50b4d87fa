"""The tutorial's model on TinyStories with GPT-2's whole vocabulary (50,257): an epoch and a half.

    python prepare.py
    python train.py config/tinystories.py

At the 1.65 M tokens/s that an H100 does, 7 minutes. The values are what the README's "Recipes" says should carry over
from a hundredth of the corpus; the whole of it has not been run yet. config/tinystories_8k.py has the same blocks, with
3.1 M parameters of embedding in place of 19.3 M.

Where the tutorial differs: its learning_rate 1e-4 with min_lr 5e-4 would climb, and its 20,000 "iterations" are
micro-batches, 625 optimizer steps of 131,072 tokens.
"""

dataset = "tinystories"

# the model: 30.0 M parameters, 19.3 M of them the embedding
block_size = 128
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.0
bias = True

# 32 x 16 sequences of 128 tokens make one optimizer step: 65,536 tokens
batch_size = 32
gradient_accumulation_steps = 16

learning_rate = 2e-3
min_lr = 0.0
warmup_iters = 500
max_iters = 10800
weight_decay = 0.1
beta2 = 0.95
grad_clip = 1.0

eval_interval = 900
log_interval = 10
