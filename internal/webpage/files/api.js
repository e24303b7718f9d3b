// The server's HTTP API, as any other client speaks it: OpenAI's, and what docs/serving.md
// adds. Addresses are relative, so the page works behind a proxy's prefix too.

let key = sessionStorage.getItem("key") ?? ""; // for as long as the tab is open

/** setKey has requests bring a key of the server. */
export function setKey(k) {
  key = k;
  sessionStorage.setItem("key", k);
}

/** Refused is what the server says no with, or that it says nothing (status 0). */
export class Refused extends Error {
  constructor(status, message, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const lost = () => new Refused(0, "The server cannot be reached. Is it still running?", "lost");

const cut = () => new Refused(0, "The connection was lost while the answer came. What came of it stays.", "lost");

function headers(more = {}) {
  return key ? { Authorization: `Bearer ${key}`, ...more } : more;
}

async function refused(response) {
  let told = {};
  try {
    told = (await response.json()).error ?? {};
  } catch {
    // An answer of something in between: its status says what there is to say.
  }
  return new Refused(response.status, told.message ?? `The server answered ${response.status}.`, told.code ?? "");
}

async function request(method, path, body, signal) {
  let response;
  try {
    response = await fetch(path, {
      method, signal,
      headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (e) {
    throw e.name === "AbortError" ? e : lost();
  }
  if (!response.ok) throw await refused(response);
  return response;
}

/** get and send ask for JSON. */
export const get = async (path) => (await request("GET", path)).json();
export const send = async (method, path, body, signal) => (await request(method, path, body, signal)).json();

/** stream posts a request and yields the events of its answer, up to the one that ends it. */
export async function* stream(path, body, signal) {
  const response = await request("POST", path, { ...body, stream: true }, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      let piece;
      try {
        piece = await reader.read();
      } catch (e) {
        throw e.name === "AbortError" ? e : cut();
      }
      if (piece.done) throw cut();
      buffer += piece.value;
      for (let end; (end = buffer.indexOf("\n\n")) >= 0; buffer = buffer.slice(end + 2)) {
        const event = buffer.slice(0, end);
        if (!event.startsWith("data: ")) continue; // a sign of life
        if (event === "data: [DONE]") return;
        const data = JSON.parse(event.slice(6));
        if (data.error) throw new Refused(500, data.error.message, data.error.code);
        yield data;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** upload sends a file and tells how far it is, from 0 to 1. */
export function upload(file, progress) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("purpose", "assistants");
    form.append("file", file);
    const x = new XMLHttpRequest(); // fetch tells nothing while it sends
    x.open("POST", "v1/files");
    for (const [name, value] of Object.entries(headers())) x.setRequestHeader(name, value);
    x.responseType = "json";
    x.upload.onprogress = (e) => e.lengthComputable && progress(e.loaded / e.total);
    x.onerror = () => reject(lost());
    x.onload = () => {
      const told = x.response?.error;
      if (x.status === 200) resolve(x.response);
      else reject(new Refused(x.status, told?.message ?? `The server answered ${x.status}.`, told?.code));
    };
    x.send(form);
  });
}

/** storePath is the address of an index, and of what is in it. */
export const storePath = (store, ...parts) => ["v1/vector_stores", store, ...parts].map((p, i) => (i ? encodeURIComponent(p) : p)).join("/");

/** passageAt is where a passage can be read whose address the server told, perhaps by another name of itself. */
export function passageAt(url) {
  const m = /\/(v1\/vector_stores\/[^/]+\/passages\/[^/]+)$/.exec(url);
  return m && m[1];
}
