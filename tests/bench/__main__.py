"""`make bench`: every figure that Tidegate claims, against a named baseline of the same run; writes bench.json."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import beacons, bluetooth, commands, decode, hil, ledger, north, polling, process, spi, streams, web
from tests.bench.rows import Row

ROOT = Path(__file__).parent.parent.parent
PARTS: dict[str, Callable[[Path], list[Row]]] = {
    "decode": lambda _folder: decode.decode_rows(),
    "uart": streams.uart_rows,
    "can": streams.can_rows,
    "paced": streams.paced_rows,
    "flood": streams.flood_rows,
    "ble": bluetooth.ble_rows,
    "modbus": polling.polling_rows,
    "spi": spi.spi_rows,
    "ledger": ledger.ledger_rows,
    "recorded": streams.recorded_rows,
    "commands": commands.command_rows,
    "beacons": beacons.beacon_rows,
    "mqtt": north.mqtt_rows,
    "http": web.web_rows,
    "hostile": north.hostile_rows,
    "hil": hil.hil_rows,
    "run": process.run_rows,
    "start": process.start_rows,
}


def main(chosen: list[str]) -> int:
    """Run all parts, or those named; return 1 where a limit is missed, 2 for a part that does not exist."""
    if unknown := [name for name in chosen if name not in PARTS]:
        print(f"no such part: {', '.join(unknown)}; one of {', '.join(PARTS)}", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    start = time.monotonic()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TIDEGATE_DATA"] = str(Path(folder) / "data")
        for name in chosen or PARTS:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            rows += PARTS[name](Path(folder))
    seconds = time.monotonic() - start
    for row in rows:
        relation = ">=" if row.at_least else "<="
        verdict = "pass" if row.passed else "FAIL"
        print(
            f"{row.name:<30} {row.value:>14,.3f} {row.unit:<18} {relation} {row.limit:>10,g}  {verdict}  {row.baseline}"
        )
    print(f"{seconds:.0f} s")
    report = {"seconds": round(seconds, 1), "rows": [row.as_json() for row in rows]}
    (ROOT / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
