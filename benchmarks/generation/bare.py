"""AsyncLLM alone, with nothing in front of it; reads workloads from stdin, a line each.

Run by the Python of the vLLM environment: `python -m benchmarks.generation.bare MODEL ENGINE_ARGS`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from benchmarks.generation.workload import SYSTEM_TEXT, Workload, run


def encode(tokenizer: Any, question: str) -> list[int]:
    """Returns a question's prompt as tokens, as every system here reads it."""
    turns = [{"role": "system", "content": SYSTEM_TEXT}, {"role": "user", "content": question}]
    return tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, tokenize=True, return_dict=False
    )


async def main() -> None:
    """Starts the engine and serves lines until stdin ends."""
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - of the vLLM environment # pyright: ignore[reportMissingImports]
    from vllm.inputs import tokens_input  # noqa: PLC0415 # pyright: ignore[reportMissingImports]
    from vllm.sampling_params import (  # noqa: PLC0415 # pyright: ignore[reportMissingImports]
        RequestOutputKind,
        SamplingParams,
    )
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415 # pyright: ignore[reportMissingImports]

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    arguments = AsyncEngineArgs(model=sys.argv[1], **json.loads(sys.argv[2]))
    llm = AsyncLLM.from_engine_args(arguments)
    tokenizer = llm.get_tokenizer()

    async def measure(workload: Workload) -> dict[str, Any]:
        params = SamplingParams(
            temperature=0.0,
            max_tokens=workload.max_tokens,
            output_kind=RequestOutputKind.DELTA,
        )

        async def ask(number: int) -> AsyncIterator[int]:
            prompt = tokens_input(list(workload.token_ids[number]))
            tokens = 0
            async for output in llm.generate(prompt, params, uuid.uuid4().hex):
                tokens += len(output.outputs[0].token_ids)
                yield tokens

        return asdict(await run(workload, ask))

    answers.write("ready\n")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        wanted = json.loads(line)
        if "encode" in wanted:
            found: Any = [encode(tokenizer, each) for each in wanted["encode"]]
        else:
            found = await measure(Workload.from_json(wanted))
        answers.write(json.dumps(found) + "\n")
    llm.shutdown()
    os._exit(0)  # vLLM's threads outlive the loop


if __name__ == "__main__":
    import uvloop  # pyright: ignore[reportMissingImports]

    uvloop.run(main())
