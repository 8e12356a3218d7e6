// The gateway's REST API. One object, made when somebody signs in.

/** A refusal or a failure; its message is the gateway's own words. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem?.detail || problem?.title || `The gateway answered ${status}.`);
    this.name = "ApiError";
    this.status = status;
    this.problem = problem;
  }
}

const busyStatuses = new Set([429, 503, 504]);

export class Api {
  #key;
  #onRefusedKey;

  /**
   * @param {string} key API key
   * @param {(error: ApiError) => void} onRefusedKey called when the gateway does not know the key (any more)
   */
  constructor(key, onRefusedKey) {
    this.#key = key;
    this.#onRefusedKey = onRefusedKey;
  }

  /** @param {Object<string, any>} [parameters] empty ones are left out; lists are repeated */
  get(path, parameters = {}, signal) {
    return this.#json(withQuery(path, parameters), { method: "GET", signal });
  }

  post(path, body, signal) {
    return this.#json(path, { method: "POST", ...this.#body(body), signal });
  }

  put(path, body) {
    return this.#json(path, { method: "PUT", ...this.#body(body) });
  }

  patch(path, body) {
    return this.#json(path, { method: "PATCH", ...this.#body(body) });
  }

  delete(path, parameters = {}) {
    return this.#json(withQuery(path, parameters), { method: "DELETE" });
  }

  /** Posts, and again while the gateway is busy: for work that nobody waits at. */
  async persist(path, body, signal, attempts = 5) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.post(path, body, signal);
      } catch (error) {
        if (!busyStatuses.has(error.status) || attempt === attempts) throw error;
        const seconds = error.problem?.retry_after_seconds || 0.2 * 2 ** attempt;
        await pause(Math.min(seconds, 10) * 1000, signal);
      }
    }
  }

  /** Fetches a file, such as CSV, as a blob. */
  async blob(path, parameters = {}) {
    const response = await this.#fetch(withQuery(path, parameters), { method: "GET" });
    return response.blob();
  }

  /** Asks with `stream: true`; see `follow`. */
  stream(path, body, on, signal) {
    return this.follow(path, { ...body, stream: true }, on, signal);
  }

  /**
   * Posts and calls `on[name](data)` for each event until the stream ends.
   * @param {Object<string, (data: any) => void>} on
   */
  async follow(path, body, on, signal) {
    const response = await this.#fetch(path, { method: "POST", ...this.#body(body), signal });
    for await (const event of serverSentEvents(response.body)) {
      const data = JSON.parse(event.data);
      if (event.name === "error") throw new ApiError(response.status, data);
      on[event.name]?.(data);
    }
  }

  /**
   * Uploads a file. XMLHttpRequest, because fetch does not tell how far an upload is.
   * @param {(share: number) => void} onProgress 0..1
   */
  upload(file, fields, onProgress) {
    const form = new FormData();
    for (const [name, value] of fields) form.append(name, value);
    form.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/documents");
    request.setRequestHeader("Authorization", `Bearer ${this.#key}`);
    request.responseType = "json";
    return new Promise((resolve, reject) => {
      request.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
      request.addEventListener("error", () => reject(new Error("The gateway cannot be reached.")));
      request.addEventListener("load", () => {
        if (request.status < 300) resolve(request.response.submissions[0]);
        else reject(this.#refused(request.status, request.response));
      });
      request.send(form);
    });
  }

  async #json(path, options) {
    const response = await this.#fetch(path, options);
    return response.status === 204 ? null : response.json();
  }

  async #fetch(path, options) {
    const headers = { ...options.headers, Authorization: `Bearer ${this.#key}` };
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The gateway cannot be reached.", { cause: error });
    }
    if (response.ok) return response;
    throw this.#refused(response.status, await response.json().catch(() => null));
  }

  #body(body) {
    return { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  }

  #refused(status, problem) {
    const error = new ApiError(status, problem);
    if (status === 401) this.#onRefusedKey(error);
    return error;
  }
}

/** Path of a document; identifiers may hold slashes. */
export function documentPath(documentId) {
  return `/v1/documents/${encodeURIComponent(documentId)}`;
}

/** Waits, unless the signal says not to. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

function withQuery(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "") query.append(name, each);
    }
  }
  return query.size ? `${path}?${query}` : path;
}

async function* serverSentEvents(body) {
  let buffer = "";
  let name = "message";
  let data = [];
  for await (const text of chunks(body.pipeThrough(new TextDecoderStream()))) {
    buffer += text;
    const lines = buffer.split(/\r?\n/);
    buffer = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (data.length) yield { name, data: data.join("\n") };
        name = "message";
        data = [];
      } else if (line.startsWith("event:")) {
        name = line.slice(6).trim();
      } else if (line.startsWith("data:")) {
        data.push(line.slice(5).replace(/^ /, ""));
      }
    }
  }
}

// Streams are not iterable in every browser yet.
async function* chunks(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
