"""Has promtool judge the alert rules and the dashboard of the chart, and play the rules through directlink/ci/alerts.test.yaml.

`make alerts` calls it, with a promtool; it needs nothing else. That every metric and label they name is
really told by the gateway is the business of conformance-tests/tests/signals.rs.

Each function `holds_…` is one promise: it yields what is against it.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from promises import promises, tell

CHART = Path(__file__).resolve().parent / "directlink"
RULES = CHART / "files/alerts.yaml"
DASHBOARD = CHART / "files/dashboard.json"
PLAYED = CHART / "ci/alerts.test.yaml"
# What stands for what a viewer of the dashboard chooses.
CHOSEN = {"$__rate_interval": "5m", "$institution": ".*", "$registry": ".*"}
ARGUMENTS = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
ARGUMENTS.add_argument("--promtool", default="promtool", help="the program, where it is not in the search path")
PROMTOOL = ARGUMENTS.parse_args().promtool


def promtool(*words):
    done = subprocess.run([PROMTOOL, *words], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else (done.stdout + done.stderr).splitlines()


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def holds_rules_are_sound():
    yield from promtool("check", "rules", "--lint-fatal", RULES)


def holds_rules_do_what_they_say():
    yield from promtool("test", "rules", PLAYED)


def holds_every_alert_is_played():
    played = PLAYED.read_text()
    for alert in re.findall(r"- alert: (\w+)", RULES.read_text()):
        if not re.search(rf'alertname(=|: )"?{alert}\b', played):
            yield f"{alert} is raised in no case of {PLAYED.name}"


def holds_every_alert_says_what_to_do():
    for text in re.split(r"\n      - ", RULES.read_text()):
        name = re.match(r"alert: (\w+)", text)
        if name and not all(word in text for word in ("severity: ", "summary: ", "description: ")):
            yield f"{name[1]} has no severity, summary or description"


def holds_questions_are_sound():
    """promtool reads expressions only in rules: the dashboard's become some."""
    rules = []
    for panel in panels():
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in CHOSEN.items():
                expression = expression.replace(name, value)
            rules.append({"record": f"panel:{len(rules)}", "expr": expression})
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        yield from promtool("check", "rules", file.name)


def holds_panels_lie_beside_each_other():
    taken, numbers = {}, set()
    for panel in panels():
        if panel["id"] in numbers:
            yield f"{panel['title']}: another panel has its number"
        numbers.add(panel["id"])
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if x >= 24 or taken.setdefault((x, y), panel["title"]) != panel["title"]:
                    yield f"{panel['title']} lies over {taken.get((x, y), 'the edge')}"
                    return


def holds_nothing_of_ones_own_installation_is_named():
    for panel in panels():
        for holder in [panel, *panel.get("targets", [])]:
            if holder.get("datasource", {}).get("uid", "${datasource}") != "${datasource}":
                yield f"{panel['title']}: a source of data of one installation"


if __name__ == "__main__":
    sys.exit(tell([(name, list(check())) for name, check in promises(globals())]))
