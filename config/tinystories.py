"""The tutorial's model: TinyStories with GPT-2's whole vocabulary (50,257 tokens), an epoch and a half.

    python prepare.py
    python train.py config/tinystories.py

It takes 7 minutes of an H100, at 1.7 M tokens/s. The blocks are those of config/tinystories_8k.py; the embedding has
19.3 M parameters, not 3.1 M. The values come from runs on a hundredth of the corpus, see docs/recipes.md; nobody has
run the whole recipe yet. On 90 M generated tokens Muon did better (one seed): --optimizer=muon --learning_rate=4e-3
--beta2=0.99 --warmup_iters=100. docs/tutorial.md says how the tutorial differs.
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

learning_rate = 2e-3
min_lr = 0.0
warmup_iters = 500
max_iters = 10800
weight_decay = 0.1
beta2 = 0.95
grad_clip = 1.0

eval_interval = 900
log_interval = 10
