"""The console's measures are those of `cairn eval`: the same figures for the same rankings and answers."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from typing import Any

import pytest

from cli.evaluation import metrics
from services.gateway.edge.console_files import CONSOLE_FOLDER

NODE = shutil.which("node")
ASK = """
const cases = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify(cases.map(({ ranking, grades, text, answers }) => {
  const judged = new Map(Object.entries(grades));
  return [
    ndcg(ranking, judged, 10),
    recall(ranking, judged, 5),
    reciprocalRank(ranking, judged, 10),
    containsAnswer(text, answers),
    normalized(text),
    withoutMarkers(text),
  ];
})));
"""
WORDS = [
    "the", "Mats", "Berg", "a", "harbour-master", "90", "days!", "Ångström", "“quoted”", "[1]",
    "[12]", "naïve", "ＦＵＬＬ", "an", "e.g.", "it's", "—", "x\u00a0y", "ÆSIR",
]  # fmt: skip


def cases() -> list[dict[str, Any]]:
    """Rankings with grades and texts with answers, by chance but always the same."""
    chance = random.Random(7)
    documents = [f"d{number}" for number in range(20)]
    return [
        {
            "ranking": chance.sample(documents, chance.randint(0, 15)),
            "grades": {each: chance.randint(0, 3) for each in chance.sample(documents, 6)},
            "text": " ".join(chance.choices(WORDS, k=chance.randint(1, 12))),
            "answers": [" ".join(chance.choices(WORDS, k=2)), chance.choice(WORDS)],
        }
        for _ in range(300)
    ]


@pytest.mark.skipif(NODE is None, reason="no node on this machine: install nodejs")
def test_console_and_command_agree() -> None:
    given = cases()
    measures = (CONSOLE_FOLDER / "evaluation/measures.js").read_text("utf-8")
    done = subprocess.run(
        [str(NODE), "--input-type=module", "--eval", measures + ASK],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    for each, found in zip(given, json.loads(done.stdout), strict=True):
        ranking, grades, text = each["ranking"], each["grades"], each["text"]
        assert found == [
            pytest.approx(metrics.ndcg(ranking, grades, 10)),
            pytest.approx(metrics.recall(ranking, grades, 5)),
            pytest.approx(metrics.reciprocal_rank(ranking, grades, 10)),
            metrics.contains_answer(text, each["answers"]),
            metrics.normalized(text),
            metrics.without_markers(text),
        ]
