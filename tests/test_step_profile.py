"""experiments/step_profile.py: kernels are counted in the phase and the kind that they belong to."""

from conftest import SMALL_RUN, assert_mistake, call

from experiments import step_profile


def event(category, name="", ts=0, dur=0, tid=1, correlation=0):
    return {"cat": category, "name": name, "ts": ts, "dur": dur, "tid": tid, "args": {"correlation": correlation}}


TRACE = [
    event("user_annotation", "phase: optimizer", ts=100, dur=50),
    event("user_annotation", "phase: inner", ts=110, dur=10),
    event("user_annotation", "something else", ts=0, dur=1000),
    *(event("cuda_runtime", "cudaLaunchKernel", *place) for place in ((10, 1, 1, 1), (105, 1, 1, 2), (112, 1, 1, 3))),
    event("cuda_driver", "cuLaunchKernel", 112, 1, 2, 4),  # of another thread
    event("kernel", "nvjet_tst_128", 300, 2000, 7, 1),
    event("kernel", "ncclDevKernel_AllGather", 300, 4000, 8, 2),
    event("gpu_memcpy", "Memcpy DtoD", 300, 6000, 7, 3),
    event("kernel", "triton_red_fused_2", 300, 8000, 7, 4),
]


def test_phases_and_kinds():
    found = list(step_profile.kernels(TRACE))
    assert [(phase, microseconds) for phase, _, microseconds in found] == [
        ("forward", 2000),
        ("optimizer", 4000),
        ("inner", 6000),
        ("backward", 8000),
    ]
    kinds = [step_profile.kind_of(name) for _, name, _ in found]
    assert kinds == ["matrix products", "NCCL", "other", "compiled"]
    _, forward, optimizer, _, backward, whole, *_ = step_profile.table(found, 2)
    assert forward.split() == "forward 0.000 0.000 1.000 0.000 0.000 1.000 0".split()
    assert backward.split()[-3:] == ["0.000", "4.000", "0"] and optimizer.split()[1] == "2.000"
    assert whole.split() == "all 2.000 0.000 1.000 4.000 3.000 10.000 2".split()


def test_it_needs_a_gpu(here):
    assert_mistake(call("experiments/step_profile.py", *SMALL_RUN), "CUDA")
