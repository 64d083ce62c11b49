"""One step of the chain: its identity, its private work folder, and its atomic publication.

    with Step(ValRecord, config, inputs, out) as step:
        if step.finished:
            return step.finished
        ...                       # write into step.work
        return step.publish(metrics=…, artifacts={"predictions": "predictions.json"}, …)

A step whose record already lies at `out` under the same key does nothing. Otherwise it works in a
hidden folder beside `out`, named by its key, and renames that folder to `out` at the end. A step that
fails leaves `out` as it was; a resumable one keeps its work folder, and the next call with the same
key finds in it what the last one had saved. Where an object store is configured, it is kept there too,
unless the step failed by what no other attempt can mend, and the next call finds it on any machine; and
so it finds the result of a resumable step, which is long, once it is finished.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import yolocore
from yolocore.config import Section, canonical_json
from yolocore.errors import DataError, UsageError, YoloError
from yolocore.progress import SILENT, Listener
from yolocore.records import FILE_NAME, Artifact, Record
from yolocore.store import (
    configured,
    exclusive,
    json_digest,
    recover,
    replace_folder,
    short,
    storage_errors,
    tree_digest,
    write_atomic,
)

IDENTITY = "identity.json"  # in a work folder: what is being made there
KEEP_SECONDS = 300.0  # between two times that the work of a step that goes on is kept in the object store

R = TypeVar("R", bound=Record)


class Step(Generic[R]):
    """Context of one step.

    inputs: digest of each input by name; they and `config.identity()` make the step's key.
    out: folder of the result. It may hold an earlier result or nothing; anything else is refused.
    resumable: keep what is in `work` when the step fails or is killed.
    resume: only go on with what a former call left there; where there is nothing, refuse to begin.
    grows: name of the setting that says how much of the same work is done: what was done with less of it, interrupted
        or finished at `out`, is gone on with.
    holds: whether what a finished step's record says is still so, where it speaks of more than its folder.
    listener: hears of what is kept in the object store.
    """

    finished: R | None
    work: Path

    def __init__(
        self,
        record: type[R],
        config: Section,
        inputs: Mapping[str, str],
        out: Path,
        *,
        resumable: bool = False,
        resume: bool = False,
        grows: str = "",
        holds: Callable[[R], bool] = lambda _: True,
        listener: Listener = SILENT,
    ) -> None:
        self._record = record
        self._config = config
        self._inputs = dict(inputs)
        self._out = Path(out).absolute()
        self._resumable = resumable
        self._resume = resume
        self._grows = grows
        self._holds = holds
        self._listener = listener
        self._exit = contextlib.ExitStack()
        self._published = False
        self._kept = time.monotonic()
        self._identity: dict[str, Any] = {
            "step": record.mode,
            "program": yolocore.__version__,
            "config": config.identity(),
            "inputs": self._inputs,
        }
        self.key = json_digest(self._identity)
        self.lasting_key = json_digest(self._lasting(self._identity))  # the same, however much is to be done
        self._pointer = f"partial/{self.lasting_key.removeprefix('sha256:')}"
        self._finished_pointer = f"finished/{self.key.removeprefix('sha256:')}"
        self.work = self._out.with_name(f".{self._out.name}.{short(self.lasting_key)}.partial")
        self._refused = self._out.with_name(f"{self._out.name}.refused")
        self.finished = None

    def __enter__(self) -> Self:
        self._exit.enter_context(storage_errors(self._out))
        self._exit.enter_context(exclusive(self._out))
        try:
            recover(self._out)
            self.finished = self._find_finished() or self._fetch_finished()
            if self.finished is None:
                self._prepare()
                self._started = time.perf_counter()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        if not (self._published or self.finished):
            if not self._resumable:
                shutil.rmtree(self.work, ignore_errors=True)
            elif error is not None and not (isinstance(error, YoloError) and not error.transient):
                self._keep()
        self._exit.__exit__(kind, error, traceback)

    def _prepare(self) -> None:
        """Make the work folder, or find what a former call left in it, here or on another machine."""
        if self._resumable and not (self.work / IDENTITY).exists():
            self._bring_back()
        if self._grows and not (self.work / IDENTITY).exists():
            self._take_up()
        if self._resume and not (self.work / IDENTITY).exists():
            raise UsageError(f"resume=true: {self._why_not()}")
        if self._resumable and not (self.work / IDENTITY).exists() and (begun := self._begun()):
            otherwise = self._otherwise(begun)
            self._listener.note(f"{begun} was begun with {otherwise}, and stays; give the same again to go on with it")
        if not self._resumable:
            shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True, exist_ok=True)
        for torn in self.work.glob(".*.tmp"):  # of a write that was killed
            torn.unlink()
        write_atomic(self.work / IDENTITY, canonical_json(self._identity))

    def _bring_back(self) -> None:
        """Fetch what an interrupted call has kept in the object store; what is damaged there is made anew."""
        store = configured()
        digest = store and store.get(self._pointer)
        if not (store and digest):
            return
        try:
            store.pull(digest, self.work, self._listener)
        except DataError as error:
            self._listener.note(f"{error}; what was interrupted begins anew")
        else:
            self._listener.note(f"goes on with what was interrupted, from {store.uri(digest)}")

    def _take_up(self) -> None:
        """Begin with a copy of what is finished at `out`, where it is the same work and less of it."""
        try:
            record = self._record.load(self._out)
        except DataError:
            return
        theirs = record.model_dump(include=set(self._identity))
        same = self._lasting(theirs) == self._lasting(self._identity)
        if same and theirs["config"][self._grows] < self._identity["config"][self._grows]:
            shutil.rmtree(self.work, ignore_errors=True)  # of a copy that was killed
            shutil.copytree(self._out, self.work)
            (self.work / FILE_NAME).unlink()
            write_atomic(self.work / IDENTITY, canonical_json(theirs))

    def _lasting(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        config = {name: value for name, value in identity["config"].items() if name != self._grows}
        return {**identity, "config": config}

    def saved(self) -> None:
        """To be called when `work` holds what another call could go on from: a machine may be lost without a word.

        Now and then it is kept in the object store, if there is one.
        """
        if time.monotonic() - self._kept > KEEP_SECONDS:
            self._keep()

    def _keep(self) -> None:
        """Keep the work folder in the object store. A failure is told, and hides nothing of why the step ends."""
        self._kept = time.monotonic()
        try:
            if store := configured():
                digest = store.push(self.work, listener=self._listener)
                store.put(self._pointer, digest)
                self._listener.note(f"the work so far is kept: {store.uri(digest)}")
        except Exception as error:
            self._listener.note(f"the work so far stays on this machine alone: {error}")

    def _remember(self) -> None:
        """Keep the result in the object store, in place of the work. A failure takes nothing from the result."""
        try:
            if store := configured():
                store.put(self._finished_pointer, store.push(self._out, listener=self._listener))
                store.delete(self._pointer)
        except YoloError as error:
            self._listener.note(f"the object store does not have the result: {error}")

    def _fetch_finished(self) -> R | None:
        """The record of the step if another machine has finished it, with its result brought here.

        Where a former call has begun here, nobody else is asked.
        """
        store = configured() if self._resumable and not (self.work / IDENTITY).exists() else None
        digest = store and store.get(self._finished_pointer)
        if not (store and digest):
            return None
        try:
            store.pull(digest, self._out, self._listener)
        except DataError as error:
            self._listener.note(f"{error}; what was finished is made anew")
            return None
        self._listener.note(f"was finished elsewhere: {store.uri(digest)}")
        return self._find_finished()

    def _why_not(self) -> str:
        """Why there is nothing to go on with: what the step that was begun has otherwise than this one."""
        if not (begun := self._begun()):
            return f"nothing that was interrupted lies beside out={self._out}; give its out=, or resume=false to begin"
        remedy = "give the same again, or resume=false to begin anew"
        return f"out={self._out} was begun with {self._otherwise(begun)}; {remedy}"

    def _begun(self) -> Path | None:
        """Work folder of the latest step that was interrupted and is to end in the same place."""
        begun = [folder for folder in self._partial() if (folder / IDENTITY).exists()]
        return max(begun, key=lambda folder: (folder / IDENTITY).stat().st_mtime, default=None)

    def _otherwise(self, begun: Path) -> str:
        """What another step has otherwise than this one."""
        other = json.loads((begun / IDENTITY).read_bytes())
        theirs = {**other["config"], "version": other["program"]}
        ours = {**self._config.identity(), "version": yolocore.__version__}
        changed = [
            f"{name}={theirs.get(name)}, not {ours.get(name)}"
            for name in sorted(theirs.keys() | ours.keys())
            if theirs.get(name) != ours.get(name)
        ]
        changed += [
            f"another {name} ({short(other['inputs'].get(name, ''))}, not {short(digest)})"
            for name, digest in self._inputs.items()
            if other["inputs"].get(name) != digest
        ]
        return "; ".join(changed)

    def _partial(self) -> Iterator[Path]:
        """Work folders of all steps that were to end in the same place."""
        return self._out.parent.glob(f".{self._out.name}.*.partial")

    def publish(
        self,
        *,
        metrics: Mapping[str, float],
        artifacts: Mapping[str, str],
        views: Sequence[str] = (),
        versions: Mapping[str, str] | None = None,
        timings: Mapping[str, float] | None = None,
        **findings: Any,
    ) -> R:
        """Write the record (last) and put the work folder at `out`.

        artifacts, views: paths relative to `work`. findings: the record class's own fields.
        """
        seconds = time.perf_counter() - self._started
        record = self._record(
            step=self._record.mode,
            key=self.key,
            program=yolocore.__version__,
            config=self._config.identity(),
            inputs=self._inputs,
            artifacts={name: self._describe(path) for name, path in artifacts.items()},
            views=tuple(sorted(views)),
            metrics=dict(metrics),
            versions=dict(versions or {}),
            timings={**(timings or {}), "seconds": seconds},
            **findings,
        )
        (self.work / IDENTITY).unlink()  # the record says it all
        (self.work / FILE_NAME).write_text(record.to_json())
        replace_folder(self.work, self._out)
        self._published = True
        if self._resumable:
            self._remember()
        else:  # what is long is never thrown away, even where something else has taken its place
            for stale in self._partial():
                shutil.rmtree(stale, ignore_errors=True)
        shutil.rmtree(self._refused, ignore_errors=True)
        return record

    def refuse(self) -> Path:
        """Leave what lies in `work` beside `out`, for people: why there is no new result. Returns the folder."""
        (self.work / IDENTITY).unlink()
        replace_folder(self.work, self._refused)
        return self._refused

    def _describe(self, relative: str) -> Artifact:
        path = self.work / relative
        size = sum(p.stat().st_size for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())
        return Artifact(path=relative, digest=tree_digest(path), bytes=size)

    def _find_finished(self) -> R | None:
        """The record at `out` if it is this step's and its artifacts are still all there."""
        if not self._out.exists():
            return None
        if not self._out.is_dir() or (any(self._out.iterdir()) and not (self._out / FILE_NAME).exists()):
            raise UsageError(f"out={self._out}: holds files that no step wrote; choose another folder")
        try:
            record = self._record.load(self._out)
        except DataError:
            return None
        whole = all((self._out / artifact.path).exists() for artifact in record.artifacts.values())
        return record if record.key == self.key and whole and self._holds(record) else None
