"""Several processes that train as one, each on its share of every batch; torchrun starts them.

This is the only module that knows of ranks. A process alone is rank 0 of 1, and all of this is the identity.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from secrets import token_hex
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from digitspot.errors import ConfigError, DigitspotError
from digitspot.processes import die_with_parent

Result = TypeVar("Result")
Item = TypeVar("Item")

LONGEST_WAIT = timedelta(days=1)
"""How long the others wait for what the first one does alone, such as a validation."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a training, and which of them this one is.

    Attributes:
        rank: From 0; the first one alone validates, and writes checkpoints, records and progress.
        size: How many there are.
        local_rank: Counted on this machine.
        local_size: How many there are on this machine.
        waiting: The group in which the others wait for the first.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    waiting: Any = field(default=None, repr=False)

    @property
    def is_first(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    def num_own(self, num: int, what: str) -> int:
        """Return the share of each rank.

        Raises:
            ConfigError: `num` cannot be divided among them.
        """
        if num % self.size:
            raise ConfigError(
                f"{what} is {num}, which cannot be divided among {self.size} processes",
                hint=f"Choose a multiple of {self.size}, or another --nproc-per-node.",
            )
        return num // self.size

    def own(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return every `size`-th item: images of a batch are sorted, and so all ranks get equal work."""
        return items[self.rank :: self.size]

    def device(self, device: torch.device) -> torch.device:
        """Return the device of this rank, each on a machine its own GPU.

        Raises:
            ConfigError: One GPU is named, and there are several ranks.
        """
        if self.size == 1 or device.type != "cuda":
            return device
        if device.index is not None and self.local_size > 1:
            raise ConfigError(
                f"train.device is {device}, and {self.local_size} processes cannot share it",
                hint='Say "cuda": each process then has a GPU of its own.',
            )
        own = torch.device("cuda", self.local_rank if device.index is None else device.index)
        torch.cuda.set_device(own)
        return own

    def first(self, call: Callable[[], Result]) -> Result:
        """Return what a call gives on the first rank; what it raises there is raised on all."""
        if self.size == 1:
            return call()
        answer: list[Any] = [None, None]
        if self.is_first:
            try:
                answer[0] = call()
            except (Exception, KeyboardInterrupt) as error:
                answer[1] = error
        distributed.broadcast_object_list(answer, src=0, group=self.waiting)
        if answer[1] is not None:
            raise answer[1]
        return cast(Result, answer[0])

    def any(self, *flags: bool) -> list[bool]:
        """Return for each flag whether it is set on any rank."""
        return list(flags) if self.size == 1 else self.gathered(torch.tensor(flags)).any(0).tolist()

    def collected(self, items: Sequence[Item]) -> list[Item]:
        """Return the items of all ranks, one rank after the other."""
        if self.size == 1:
            return list(items)
        lists: list[Any] = [None] * self.size
        distributed.all_gather_object(lists, list(items), group=self.waiting)
        return [item for each in lists for item in each]

    def gathered(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all ranks, which have one shape, `[size, *shape]`; without a gradient."""
        if self.size == 1:
            return tensor.detach()[None]
        all_ = [torch.empty_like(tensor) for _ in range(self.size)]
        distributed.all_gather(all_, tensor.detach().contiguous())
        return torch.stack(all_)

    def most(self, num: int) -> int:
        """Return the largest number of any rank."""
        return num if self.size == 1 else int(self.gathered(torch.tensor(num)).amax())

    def rand(self, shape: Sequence[int], device: torch.device) -> Tensor:
        """Return uniform numbers `[B, ...]`: this rank's rows of those that one process would draw."""
        return torch.rand((shape[0] * self.size, *shape[1:]), device=device)[self.rank :: self.size]

    def dropped(self, dropout: nn.Module, values: Tensor, rank_of: Tensor | None = None) -> Tensor:
        """Drop out what one process would drop out.

        Args:
            dropout: The layer.
            values: `[N, ...]`.
            rank_of: The rank of each row in the order of one process; None takes turns.
        """
        if self.size == 1 or not dropout.training:
            return cast(Tensor, dropout(values))
        if rank_of is None:
            rank_of = torch.arange(self.size, device=values.device).repeat(len(values))
        ones = values.new_ones(len(rank_of), *values.shape[1:])
        return values * cast(Tensor, dropout(ones))[rank_of == self.rank]

    def weighted(self, losses: dict[str, Tensor], num: Tensor) -> dict[str, Tensor]:
        """Weight means over `num` samples so that their mean over the ranks is that over all samples."""
        if self.size == 1:
            return losses
        share = num / self.gathered(num).sum() * self.size
        return {name: loss * share for name, loss in losses.items()}

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients that are means over the ranks.

        Torch would lay out its buckets anew after the first update, and with them the order in which
        three or more ranks add up: a resumed training would differ in the last bit. With
        `find_unused_parameters` it does not.
        """
        if self.size == 1:
            return network
        return DistributedDataParallel(network, gradient_as_bucket_view=True, find_unused_parameters=True)

    def apart(self, network: nn.Module) -> AbstractContextManager[None]:
        """Leave the gradients of a pass to this rank until a later pass joins them."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


ALONE = Ranks()


def total(values: Tensor) -> Tensor:
    """Return the sum over all ranks, without a gradient; the others wait for this one to call it, too."""
    summed = values.detach().clone()
    distributed.all_reduce(summed)
    return summed


def launched() -> bool:
    """Tell whether torchrun started this process."""
    return distributed.is_available() and distributed.is_torchelastic_launched()


def is_first() -> bool:
    """Tell whether this process is the first of those that torchrun started, or alone."""
    return not launched() or os.environ["RANK"] == "0"


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started, if it did; this one ends with its torchrun.

    Raises:
        DigitspotError: Another process ended.
    """
    if launched() and sys.platform == "linux":
        die_with_parent()
    if not launched() or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    on_gpus = torch.cuda.is_available() and distributed.is_nccl_available()
    store, rank, size = next(rendezvous("env://"))
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpus else "gloo",
        store=distributed.PrefixStore(  # type: ignore[attr-defined]
            _agreed_name(store, rank, size), store
        ),
        rank=rank,
        world_size=size,
    )
    local_rank, local_size = (int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    waiting = distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
    try:
        yield Ranks(rank, size, local_rank, local_size, waiting)
    except RuntimeError as error:
        if not _is_of_a_connection(error):
            raise
        raise DigitspotError(
            "lost the connection to another process of the training",
            hint="See what that one says; torchrun --max-restarts starts all of them again.",
        ) from error
    distributed.destroy_process_group()


def _agreed_name(store: Any, rank: int, size: int) -> str:
    """Return a name that all ranks of this start have in common, and no earlier start.

    torchrun keeps its store when it starts the processes again, with the addresses of those that ended
    (PyTorch 2.14): a process that reads one of them cannot connect. So the first rank makes up a name. It
    answers each of the others until that one, and not what an earlier one left behind, confirms.
    """
    own = token_hex(8)
    if rank > 0:
        store.set(f"hello/{rank}", own)
        name: str = store.get(f"answer/{own}").decode()
        store.set(f"heard/{own}/{name}", "")
        return name
    for other in range(1, size):
        while True:
            hello = store.get(f"hello/{other}").decode()
            store.set(f"answer/{hello}", own)
            with suppress(RuntimeError):  # not in time: perhaps it is an earlier one's
                store.wait([f"heard/{hello}/{own}"], timedelta(seconds=0.1))
                break
    return own


def _is_of_a_connection(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or "gloo" in str(error)
