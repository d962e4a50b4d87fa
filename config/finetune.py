"""Fine-tune a model on your own text: a few hundred small steps.

The text must have the model's own vocabulary, which --vocab_of gives it. In a .txt a line `<|endoftext|>` or a blank
line separates stories; a few stories are enough. The model is a run, a checkpoint, or an exported folder:

    python prepare.py --dataset my_text.txt --vocab_of out/tinystories
    python train.py config/finetune.py --init_from=out/tinystories --dataset=my_text
    python sample.py --model out/my_text

Or it is GPT-2 itself, 124 M parameters from the Hugging Face hub (`pip install safetensors`). GPT-2 has 1,024
positions; fewer take less memory and time:

    python prepare.py --dataset my_text.txt --vocab_of gpt2
    python train.py config/finetune.py --init_from=gpt2 --dataset=my_text --block_size=256

The model decides the shape. best.pt is the step with the lowest validation loss, before the model learns a short text
by heart. If the loss rises from the start, lower the learning rate. If it still falls at the end, take more steps.
"""

dataset = "my_text"
init_from = "out/tinystories"

# one optimizer step: 8 x 4 sequences. Fine-tuning takes small steps, and a short text has few sequences
batch_size = 8
gradient_accumulation_steps = 4
dropout = 0.1

learning_rate = 1e-4
min_lr = 1e-5
warmup_iters = 20
max_iters = 200
weight_decay = 0.1
beta2 = 0.99

eval_interval = 20
log_interval = 5
