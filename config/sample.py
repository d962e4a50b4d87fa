"""The sample on a laptop: no GPU, no network, three minutes of training on two CPU cores.

    python prepare.py --dataset sample && python train.py config/sample.py

The model is small because a CPU is slow, and a single layer learns more in the same minutes than two, of the sample
and of real stories. Narrow models learn sooner with larger initial weights than GPT-2's. The context holds a whole
story, so the model can look up who the story is about. Muon needs fewer tokens than AdamW here, see docs/recipes.md.
"""

dataset = "sample"

n_layer = 1
n_head = 3
n_embd = 192
block_size = 256
dropout = 0.0
init_std = 0.05

batch_size = 12
gradient_accumulation_steps = 1
optimizer = "muon"
learning_rate = 1.2e-2
min_lr = 1e-4
beta1 = 0.8
beta2 = 0.99
warmup_iters = 40
max_iters = 700

eval_interval = 175
