"""The model of config/tinystories_8k.py for an hour of a T4, as Colab lends it: two fifths of an epoch.

    python prepare.py --vocab_size 8192 --name tinystories_8k
    python train.py config/tinystories_t4.py

The hour is an estimate: 197 M tokens at 55,000 tokens/s, 5 of a T4's 65 TFLOP/s. Nobody has run it on a T4 yet. On
generated stories the run reached 1.578 nats in bfloat16 on an H200; half as many steps of an earlier recipe, in float16
and in less memory than a T4 has, 1.576 on those of another teacher (experiments/log.md). The progress line shows the
time left; a smaller --max_iters takes less. A step has half the tokens of config/tinystories_8k.py's, because the run
has a quarter of them. With --out_dir on a mounted drive, --init_from=resume continues after Colab takes the T4 away.
"""

dataset = "tinystories_8k"
out_dir = "out/tinystories_t4"

# 13.9 M parameters, 3.1 M of them the embedding; 87 % of the stories fit into the context
block_size = 256
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.0

# one optimizer step: 32 x 4 sequences of 256 tokens, 32,768 tokens
batch_size = 32
gradient_accumulation_steps = 4

optimizer = "muon"
learning_rate = 4e-3
min_lr = 4e-4
ema = 0.05
warmup_iters = 300
max_iters = 6000
weight_decay = 0.1
beta2 = 0.99

eval_interval = 500
