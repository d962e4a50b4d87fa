"""The tutorial's model on TinyStories with GPT-2's whole vocabulary (50,257), and values that work.

    python prepare.py && python train.py config/tinystories.py

Where the tutorial differs: its learning_rate 1e-4 with min_lr 5e-4 would climb, and its 20,000 "iterations" are
micro-batches, 625 optimizer steps. Here a step is 32 x 32 sequences, and 5,000 of them see every story 1.4 times.
"""

dataset = "tinystories"
out_dir = "out/tinystories"

# the model: 30.0 M parameters, 19.3 M of them the embedding
block_size = 128
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.1
bias = True

# 32 x 32 sequences of 128 tokens make one optimizer step: 131,072 tokens
batch_size = 32
gradient_accumulation_steps = 32

learning_rate = 1e-3
min_lr = 1e-4
warmup_iters = 100
max_iters = 5000
weight_decay = 0.1
beta2 = 0.95
grad_clip = 1.0

eval_interval = 500
log_interval = 10
