"""The ladder that a batch goes down when memory does not suffice."""

import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from stylepipe import Batch, Caps, Guide, Item, ItemError, SetupError, Stylizer, UsageError
from stylepipe.device import pick
from stylepipe.ladder import run_within_memory
from stylepipe.memory import is_out_of_memory
from stylepipe.testing import MakeFile

ITEM = Item(0, Path("a.png"), Path(), Path("b.png"))
OOM = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried"


class Blur(Stylizer):
    """A 5x5 mean; refuses more than ``most`` pixels in all."""

    name = "blur"

    def __init__(self, most: int, error: Exception, **caps: object) -> None:
        super().__init__(None)
        self.most, self.error, self.sizes = most, error, []  # type: ignore[var-annotated]
        self.caps = Caps(**caps)  # type: ignore[misc, arg-type]

    def stylize(self, batch: Batch) -> torch.Tensor:
        x = batch.images
        self.sizes.append(tuple(x.shape))
        if x.shape[0] * x.shape[2] * x.shape[3] > self.most:
            raise self.error
        return F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), 5, stride=1)


def blur(most: int, **caps: object) -> Blur:
    return Blur(most, torch.OutOfMemoryError("CUDA out of memory"), **caps)


def batch(n: int, height: int, width: int) -> Batch:
    images = torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0))
    return Batch(images, ITEM)


def test_batch_is_halved_until_it_fits() -> None:
    small, given = blur(2 * 40 * 40), batch(5, 40, 40)
    expected = run_within_memory(blur(10**9), given)
    assert torch.equal(run_within_memory(small, given), expected)
    assert [s[0] for s in small.sizes] == [5, 2, 3, 1, 2]


def test_pieces_know_their_place_in_the_film() -> None:
    class Numbered(Blur):
        def stylize(self, batch: Batch) -> torch.Tensor:
            super().stylize(batch)
            return batch.images + batch.first / 100

    given = replace(batch(5, 40, 40), first=10)
    small = Numbered(2 * 40 * 40, MemoryError())
    numbers = 100 * (run_within_memory(small, given) - given.images).mean(dim=(1, 2, 3))
    assert numbers.round().tolist() == [10, 10, 12, 13, 13]


def test_tiles_leave_no_seam() -> None:
    given = batch(1, 600, 820)
    expected = run_within_memory(blur(10**9), given)
    tiled = blur(45_000, tileable=True, receptive_radius=2)
    assert torch.allclose(run_within_memory(tiled, given), expected, atol=1e-6)
    assert len(tiled.sizes) > 9


def test_masks_and_guide_are_cut_with_the_picture() -> None:
    class Native(Blur):
        def stylize(self, batch: Batch) -> torch.Tensor:
            assert batch.masks is not None and batch.guide is not None
            super().stylize(batch)
            return batch.images * batch.masks + batch.guide.warped * batch.guide.trust

    given = batch(1, 300, 300)
    mask = torch.rand(1, 1, 300, 300)
    given = Batch(given.images, ITEM, mask, Guide(given.images.flip(3), 1 - mask))
    small = Native(160 * 160, MemoryError(), tileable=True, receptive_radius=3)
    expected = given.images * mask + given.images.flip(3) * (1 - mask)
    assert torch.equal(run_within_memory(small, given), expected)


@pytest.mark.parametrize("caps", [{"tileable": True}, {"min_side": 400}])
def test_all_of_a_guide_has_the_size_of_the_picture(caps: dict[str, object]) -> None:
    class Native(Blur):
        def stylize(self, batch: Batch) -> torch.Tensor:
            guide = batch.guide
            assert guide is not None and guide.flow is not None
            assert guide.source is not None and guide.result is not None
            super().stylize(batch)
            return (guide.source + guide.result) / 2 + guide.flow[:, :1]

    given = batch(1, 300, 300)
    before, after, flow = (*torch.rand(2, 3, 300, 300).split(1), torch.rand(1, 2, 300, 300) / 9)
    guide = Guide(given.images, torch.ones(1, 1, 300, 300), flow, before, after)
    small = Native(160 * 160 if "tileable" in caps else 400 * 400, MemoryError(), **caps)
    expected = (before + after) / 2 + flow[:, :1]
    assert torch.equal(run_within_memory(small, replace(given, guide=guide)), expected)


@pytest.mark.parametrize("error", [RuntimeError(OOM), MemoryError()])
def test_what_cannot_be_cut_is_one_clear_sentence(error: Exception) -> None:
    with pytest.raises(ItemError, match=r"not enough memory to paint 90x80 pixels with 'blur'"):
        run_within_memory(Blur(100, error), batch(1, 80, 90))
    with pytest.raises(ItemError, match="not enough memory"):
        run_within_memory(Blur(100, error, tileable=True), batch(1, 800, 900))


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        run_within_memory(Blur(0, RuntimeError("a bug"), tileable=True), batch(2, 9, 9))
    assert not is_out_of_memory(RuntimeError("a bug"))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (2, 3), (7, 40)])
def test_small_pictures_are_extended_and_cut_back(size: tuple[int, int]) -> None:
    stylizer, given = blur(10**6, min_side=16), batch(1, *size)
    result = run_within_memory(stylizer, given)
    assert result.shape == given.images.shape
    assert stylizer.sizes == [(1, 3, max(16, size[0]), max(16, size[1]))]


def test_extension_is_a_reflection() -> None:
    class Echo(Blur):
        def stylize(self, batch: Batch) -> torch.Tensor:
            self.seen = batch.images
            return batch.images

    echo, given = Echo(0, MemoryError(), min_side=8), batch(1, 3, 10)
    assert torch.equal(run_within_memory(echo, given), given.images)
    assert torch.equal(echo.seen, given.images[:, :, [0, 1, 2, 1, 0, 1, 2, 1]])


def test_device_names() -> None:
    assert pick("cpu", "full").dtype == torch.float32
    assert pick("cpu", "half").dtype == torch.bfloat16
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        pick("gpu")
    with pytest.raises(UsageError, match="unknown precision"):
        pick("cpu", "double")
    if not torch.cuda.is_available():
        with pytest.raises(SetupError, match="sees 0 CUDA devices"):
            pick("cuda")


@pytest.mark.parametrize("name", ["meta", "vulkan", "xpu", "mps", "cpu:x", "cuda:-1"])
def test_a_device_that_cannot_compute_is_one_sentence(name: str) -> None:
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is one")
    with pytest.raises((SetupError, UsageError)) as caught:
        pick(name)
    assert repr(name) in str(caught.value) and "cpu" in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings GNU OpenMP on Linux only")
@pytest.mark.parametrize(
    ("own", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
)
def test_the_commands_threads_do_not_spin_for_long_unless_the_user_says_so(
    own: dict[str, str], spins: str, make_photo: MakeFile, tmp_path: Path
) -> None:
    told = {"OMP_DISPLAY_ENV": "VERBOSE"}  # by GNU OpenMP, when it comes in with torch
    plugin = Path(__file__).resolve().parents[1] / "examples" / "posterize.py"
    job = ["posterize", make_photo(), "-o", tmp_path / "out", "-d", "cpu", "--plugin", plugin]
    done = subprocess.run(
        [sys.executable, "-m", "stylepipe", *job],
        env={**silent(), **told, **own}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr


def silent() -> dict[str, str]:
    """The environment, but for what it says of OpenMP: the tests' own setting, too."""
    said = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    return {name: value for name, value in os.environ.items() if name not in said}


@pytest.mark.parametrize(
    ("before", "own", "spins"),
    [
        ("", {}, "1000"),
        ("", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("", {"OMP_WAIT_POLICY": "passive"}, None),
        ("import torch", {}, None),  # too late: it read the variable
    ],
)
def test_from_python_threads_do_not_spin_for_long_either(
    before: str, own: dict[str, str], spins: str | None
) -> None:
    code = (
        f"{before}\nimport os, stylepipe\n"
        "try: stylepipe.convert('nowhere', 'out')\n"
        "except stylepipe.NoInputError: print(os.environ.get('GOMP_SPINCOUNT'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**silent(), **own}, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(spins), done.stderr


def test_the_tests_themselves_do_not_spin() -> None:
    assert {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_tuned_allocator_does_not_give_pages_back() -> None:
    code = """
import resource, torch
from stylepipe.memory import tune_allocator
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(8 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(); print(faults())
tune_allocator()
faults(); print(faults())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    plain, tuned = map(int, done.stdout.split())
    assert tuned * 4 < plain


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_tuned_allocator_gives_one_thread_what_another_has_freed() -> None:
    code = """
import resource, threading
from stylepipe.memory import tune_allocator
tune_allocator()
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def work():
    bytearray(32 << 20)
    with turn: turn.wait()
turn, before = threading.Condition(), peak()
threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start(); thread.join(0.2)
print((peak() - before) >> 10)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 80  # MiB; 128 if each of four keeps its own


SLEEPING = """
import sys, time, torch
from stylepipe.memory import tune_threads
if sys.argv[1] == "tuned": tune_threads()
x = torch.ones(1 << 19)
x.mul_(1)
before = time.process_time()
for _ in range(60):
    x.mul_(1)
    time.sleep(0.004)
print(time.process_time() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings GNU OpenMP on Linux only")
@pytest.mark.skipif(os.cpu_count() == 1, reason="one processor has nobody to wait for")
@pytest.mark.parametrize(
    ("own", "sleeps"), [({}, True), ({"GOMP_SPINCOUNT": "infinity"}, False)], ids=["ours", "theirs"]
)
def test_threads_do_not_spin_for_long_where_torch_was_there_first(
    own: dict[str, str], sleeps: bool
) -> None:
    def seconds(how: str) -> float:
        done = subprocess.run(
            [sys.executable, "-c", SLEEPING, how], capture_output=True, text=True, check=True,
            env={**silent(), "OMP_NUM_THREADS": str(os.cpu_count()), **own},
        )  # fmt: skip
        return float(done.stdout)

    assert (seconds("tuned") * 2 < seconds("plain")) is sleeps


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_freed_blocks_are_kept_for_a_session_and_given_back_after_the_last() -> None:
    code = """
import os, resource, torch
from stylepipe.memory import freed_blocks_kept
def held():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(8 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
before, plain = held(), faults()
with freed_blocks_kept():
    with freed_blocks_kept():
        faults()
    torch.ones(16 << 20), torch.ones(16 << 20)
    print(plain > 4 * faults(), held() - before > 100)
print(held() - before < 50)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"], done.stdout
