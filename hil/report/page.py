"""One self-contained page of a recorded run: no script from elsewhere, no font, no request. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from operator import itemgetter
from typing import Any, Final

from gateway.plain import printable
from hil.measure import Measurement
from hil.report.results import Kept, Result
from hil.report.timeline import timeline

SHOWN_RECORDS: Final = 400  # of a test; its trace has all
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b2430; --paper: #fff; --soft: #5a6675; --line: #d7dde5; --back: #f4f6f9;
  --good: #1a7f4b; --bad: #b3261e; --skip: #6b5b00; --rx: #1f6feb; --tx: #8250df; --fault: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --paper: #12161c; --soft: #9aa7b6; --line: #2c3642;
  --back: #1a2029; --good: #4fce8d; --bad: #ff8a80; --skip: #e0c85a; --rx: #79b0ff; --tx: #c8a6ff; --fault: #ff8a80;
  } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 72rem; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p.about { color: var(--soft); margin: 0 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); }
td.number, th.number { text-align: right; }
.passed { color: var(--good); }
.failed { color: var(--bad); }
.skipped, .unknown { color: var(--skip); }
.passed, .failed, .skipped, .unknown { font-weight: 600; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; background: var(--back); }
summary { padding: .5rem .75rem; cursor: pointer; overflow-wrap: anywhere; }
details > div { padding: 0 .75rem .75rem; }
pre { overflow: auto; max-height: 28rem; font: 12.5px/1.45 ui-monospace, monospace; background: var(--paper);
  border: 1px solid var(--line); border-radius: 4px; padding: .5rem; margin: .5rem 0; }
.rx { color: var(--rx); }
.tx { color: var(--tx); }
.fault { color: var(--fault); font-weight: 600; }
.note { color: var(--soft); }
svg { width: 100%; height: auto; display: block; background: var(--paper); border: 1px solid var(--line);
  border-radius: 4px; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .rx { stroke: var(--rx); }
svg .tx { stroke: var(--tx); }
svg .fault { stroke: var(--fault); stroke-width: 2; }
svg .note { stroke: var(--soft); }
svg .axis { stroke: var(--line); }
.wide { overflow-x: auto; }
"""


def page(title: str, about: Mapping[str, str], results: Sequence[Result], traces: Iterable[Kept]) -> str:
    """Return the page; `traces` are those of each result, in the same order."""
    counts = {outcome: sum(each.outcome == outcome for each in results) for outcome in _OUTCOMES}
    facts = [f"{number} {outcome}" for outcome, number in counts.items() if number]
    facts += [f"{name} {value}" for name, value in about.items() if value]
    parts = [
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p class='about'>{escape(' · '.join(facts))}</p>",
        _measurements(results),
        "<h2>Tests</h2>",
        *_tests(results, traces),
        "</body></html>\n",
    ]
    return "".join(parts)


_CLASSES: Final = {"pass": "passed", "marginal": "skipped", "fail": "failed"}
_OUTCOMES: Final = ("passed", "failed", "skipped", "unknown")


def _measurements(results: Sequence[Result]) -> str:
    rows = [(result, each) for result in results for each in result.measurements]
    if not rows:
        return ""
    body = "".join(
        f"<tr><td>{escape(each.name)}</td><td class='number'>{each.value:g}</td><td>{escape(each.unit)}</td>"
        f"<td>{escape(each.limits or 'none')}</td><td>{_verdict(each)}</td><td>{escape(result.test)}</td></tr>"
        for result, each in rows
    )
    head = "<tr><th>name</th><th class='number'>value</th><th>unit</th><th>limits</th><th></th><th>test</th></tr>"
    return f"<h2>Measurements</h2><div class='wide'><table><thead>{head}</thead><tbody>{body}</tbody></table></div>"


def _verdict(each: Measurement) -> str:
    return f"<span class='{_CLASSES[each.verdict]}'>{each.verdict}</span>"


def _tests(results: Sequence[Result], traces: Iterable[Kept]) -> list[str]:
    """Return each test, those that failed first."""
    made = [(result.outcome != "failed", _test(result, its)) for result, its in zip(results, traces, strict=True)]
    return [text for _, text in sorted(made, key=itemgetter(0))]


def _test(result: Result, kept: Kept) -> str:
    is_open = " open" if result.outcome == "failed" else ""
    about = [f"seed {result.seed}", f"target {result.target}", f"trace {result.trace}"]
    about += [f"round {result.round}"] if result.round else []
    lines_of_reason = "\n".join(map(printable, result.reason.split("\n")))
    reason = f"<pre>{escape(lines_of_reason)}</pre>" if result.reason else ""
    damage = f"<p class='failed'>{escape(kept.problem)}</p>" if kept.problem else ""
    minimal = ""
    if result.minimal is not None:
        lines = "\n".join(_fault_call(each) for each in result.minimal)
        minimal = f"<p>The faults that matter:</p><pre>{escape(lines) or 'none'}</pre>"
    return (
        f"<details{is_open}><summary><span class='{escape(result.outcome)}'>{escape(result.outcome)}</span> "
        f"{escape(result.test)} <span class='note'>{result.duration_s:.3f} s</span></summary><div>"
        f"<p class='note'>{escape(' · '.join(about))}</p>{reason}{minimal}"
        f"{damage}{timeline(kept.records)}{_log(kept.records)}</div></details>"
    )


def _fault_call(entry: Mapping[str, Any]) -> str:
    params = ", ".join(f"{name}={value!r}" for name, value in entry.items() if name != "kind")
    return f"faults.add({entry.get('kind')!r}{', ' if params else ''}{params})"


def _log(records: Sequence[Any]) -> str:
    if not records:
        return "<p class='note'>no traffic</p>"
    shown = records[-SHOWN_RECORDS:]
    left = len(records) - len(shown)
    head = f"<p class='note'>the last {len(shown)} of {len(records)} records; the trace has all</p>" if left else ""
    return f"{head}<pre tabindex='0'>{''.join(map(_line, shown))}</pre>"


def _line(record: Any) -> str:
    extra = " ".join(f"{name}={_json(value)}" for name, value in sorted(record.extra.items()))
    text = f"{record.t_ns / 1e6:14.6f} ms  {record.bus:6} {record.dir:5} {record.kind:8} {record.data} {extra}".rstrip()
    return f"<span class='{escape(record.dir)}'>{escape(printable(text))}</span>\n"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
