"""What an import reports: a verdict on each entry, and a result of the whole."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from connections.json_format.issues import Issue

VERDICT_ACTIONS = ("created", "updated", "unchanged", "skipped", "rejected")


@dataclass
class Verdict:
    """What happened, or would happen, to one entry."""

    record: int  # the number of the entry in its file, from 0
    line: int | None
    file: str
    action: str = ""
    issues: list[Issue] = field(default_factory=list)
    # Names of the fields that change, as the API spells them.
    fields: list[str] = field(default_factory=list)
    name: str = ""
    integration: str = ""
    bucket_before: str = ""
    bucket_after: str = ""

    def __reduce__(self):  # many pass between processes: this is the short form
        return Verdict, tuple(vars(self).values())

    def add_issue(self, key: str, path: str = "", **params: Any) -> None:
        self.issues.append(Issue(key, path, params))


@dataclass
class ImportResult:
    """The outcome of an import; `read` is the sum of the five verdicts, `seconds` wall time."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    rejected: int = 0
    warnings: int = 0
    dry_run: bool = False
    seconds: float = 0.0
    cancelled: bool = False
    error: Issue | None = None

    @property
    def read(self) -> int:
        return sum(getattr(self, action) for action in VERDICT_ACTIONS)

    def count_verdict(self, verdict: Verdict) -> None:
        setattr(self, verdict.action, getattr(self, verdict.action) + 1)
        self.warnings += sum(issue.level == "warning" for issue in verdict.issues)

    def mark_rolled_back(self) -> None:
        """Count the records that were stored, and are rolled back, as skipped."""
        self.skipped += self.created + self.updated
        self.created = self.updated = 0

    def fail(self, error: Issue, atomic: bool) -> None:
        """End the import half way: the error says whether anything that it stored stays."""
        if atomic:
            self.mark_rolled_back()
        stays = (self.created or self.updated) and not self.dry_run
        outcome = "changes_kept" if stays else "nothing_stored"
        self.error = replace(error, params={**error.params, "outcome": outcome})

    def as_json(self) -> dict[str, Any]:
        """The result object that `--json` prints (docs/json-format.md)."""
        written = {"read": self.read, **asdict(self), "seconds": round(self.seconds, 3)}
        del written["error"]
        if not self.cancelled:
            del written["cancelled"]
        if self.error:
            written["error"] = {"code": self.error.code, "message": self.error.message}
        return written

    def as_stored(self, issues: list[dict[str, Any]]) -> dict[str, Any]:
        """The JSON that a run stores, with some issues (each from Issue.as_stored)."""
        error = {"error": self.error.as_stored()} if self.error else {}
        return {**self.as_json(), **error, "issues": issues}
