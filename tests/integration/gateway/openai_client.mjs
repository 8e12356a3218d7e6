// The official OpenAI client for JavaScript against a gateway: every call must be understood by it.
// Started by test_openai_javascript.py with GATEWAY_URL, GATEWAY_KEY and OPENAI_MODULE in the environment.
import assert from "node:assert/strict";

const { default: OpenAI, toFile } = await import(process.env.OPENAI_MODULE);
const client = new OpenAI({
  baseURL: `${process.env.GATEWAY_URL}/openai/v1`,
  apiKey: process.env.GATEWAY_KEY,
  maxRetries: 0,
  timeout: 20_000,
});
const answer = "Granite forms when magma cools slowly [1]. Granite is an igneous rock.";
const messages = [{ role: "user", content: "How does granite form?" }];
const tools = [{ type: "file_search", vector_store_ids: ["default"] }];

// Models and embeddings.
const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.ok(models.includes("cairn/default") && models.includes("tiny"));
const embedded = await client.embeddings.create({ model: "", input: ["ab", "abc"] });
assert.deepEqual([...embedded.data[1].embedding], [3, 1, 0, 0]);

// Chat completions.
const chat = await client.chat.completions.create({ model: "cairn", messages });
assert.equal(chat.choices[0].message.content, answer);
assert.equal(chat.choices[0].message.citations[0].document_id, "rocks/granite.md");
let text = "";
let usage;
const chunks = await client.chat.completions.create({
  model: "cairn",
  messages,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of chunks) {
  text += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
assert.equal(text, answer);
assert.equal(usage.completion_tokens, 12);
const runner = client.chat.completions.stream({ model: "cairn", messages });
assert.equal((await runner.finalChatCompletion()).choices[0].message.content, answer);

// Responses.
const response = await client.responses.create({
  model: "cairn",
  input: "How does granite form?",
  tools,
  include: ["file_search_call.results"],
});
assert.equal(response.output_text, answer);
assert.equal(response.output[0].results[0].file_id, "rocks/granite.md");
const [citation] = response.output[1].content[0].annotations;
assert.equal(citation.type, "file_citation");
const kinds = [];
const stream = client.responses.stream({ model: "cairn", input: "How does granite form?", tools });
stream.on("event", (event) => kinds.push(event.type));
assert.equal((await stream.finalResponse()).output_text, answer);
assert.ok(kinds.includes("response.output_text.annotation.added"));

// Files and vector stores.
const file = await client.files.create({
  file: await toFile(Buffer.from("# Notes"), "notes.md"),
  purpose: "assistants",
});
assert.equal(await (await client.files.content(file.id)).text(), "# Notes");
const store = await client.vectorStores.create({ name: "Notes", file_ids: [file.id] });
const attached = [];
for await (const each of client.vectorStores.files.list(store.id)) attached.push(each.id);
assert.deepEqual(attached, [file.id]);
const hits = await client.vectorStores.search("default", {
  query: "granite",
  filters: { type: "eq", key: "kind", value: "rock" },
});
assert.equal(hits.data[0].file_id, "rocks/granite.md");
assert.equal((await client.vectorStores.delete(store.id)).deleted, true);

// Paging.
for (let i = 0; i < 3; i++) {
  await client.files.create({ file: await toFile(Buffer.from("x"), `${i}.txt`), purpose: "assistants" });
}
const names = [];
for await (const each of client.files.list({ limit: 2 })) names.push(each.filename);
assert.deepEqual(names, ["2.txt", "1.txt", "0.txt", "notes.md"]);

// Errors are the client's own.
const stranger = new OpenAI({ baseURL: client.baseURL, apiKey: "crn_wrong", maxRetries: 0 });
const failing = [
  [() => client.chat.completions.create({ model: "gpt-9", messages }), OpenAI.NotFoundError],
  [() => client.responses.create({ model: "cairn", input: [] }), OpenAI.BadRequestError],
  [() => client.vectorStores.retrieve("absent"), OpenAI.NotFoundError],
  [() => stranger.models.list(), OpenAI.AuthenticationError],
];
for (const [call, kind] of failing) await assert.rejects(call, (error) => error instanceof kind);

// Cancelling.
const aborted = new AbortController();
const slow = await client.responses.create(
  { model: "tiny", input: "SLOW", stream: true },
  { signal: aborted.signal },
);
for await (const event of slow) {
  if (event.type === "response.output_text.delta") {
    aborted.abort();
    break;
  }
}
console.log("everything was understood");
