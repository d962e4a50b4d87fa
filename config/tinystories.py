"""The tutorial's model: TinyStories with GPT-2's whole vocabulary (50,257 tokens), an epoch and a half.

    python prepare.py
    python train.py config/tinystories.py

The tutorial's optimizer is AdamW. On 90 M generated tokens it reached 1.6847 nats, and Muon with 100 steps of warm-up
1.6526 (one seed each). This trains with AdamW:

    python train.py config/tinystories.py --optimizer=adamw --learning_rate=2e-3 --beta2=0.95 --warmup_iters=500

The blocks and the values are those of config/tinystories_8k.py; the embedding has 19.3 M parameters, not 3.1 M. With
AdamW 1.7 M tokens/s were measured on an H100, so the run takes some 7 minutes. Nobody has run it on all of TinyStories
yet. docs/tutorial.md says how the tutorial differs.
"""

dataset = "tinystories"

# 30.0 M parameters, 19.3 M of them the embedding
block_size = 128
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.0
bias = True

# one optimizer step: 32 x 16 sequences of 128 tokens, 65,536 tokens
batch_size = 32
gradient_accumulation_steps = 16

optimizer = "muon"
learning_rate = 4e-3
min_lr = 0.0
warmup_iters = 300
max_iters = 10800
weight_decay = 0.1
beta2 = 0.99
grad_clip = 1.0

eval_interval = 900
log_interval = 10
