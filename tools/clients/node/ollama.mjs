// Two questions with sources through ollama's client for Node, as a stream, and a model that there is not.
//
//     node tools/clients/node/ollama.mjs MODEL      # OLLAMA_HOST says where
import assert from "node:assert";
import { createRequire } from "node:module";
import { Ollama } from "ollama";

const model = process.argv[2];
const ollama = new Ollama({ host: process.env.OLLAMA_HOST });
const messages = [];
for (const [i, content] of ["Where does the spare key of the boathouse hang?", "Who may lend it?"].entries()) {
  messages.push({ role: "user", content });
  let text = "", last;
  for await (const part of await ollama.chat({ model, messages, stream: true, options: { num_predict: 48 } })) {
    text += part.message.content;
    last = part;
  }
  console.log(`turn ${i + 1}: ${JSON.stringify(text.trim())}`);
  assert(last.done && last.done_reason === "stop" && last.eval_count > 0, JSON.stringify(last));
  assert(text.includes("\n\nSources:\n[1] "), "no sources");
  messages.push({ role: "assistant", content: text });
}
assert((await ollama.list()).models.some((m) => m.model === model), "the model is not listed");
await assert.rejects(ollama.chat({ model: "absent", messages: messages.slice(0, 1) }), (e) => {
  console.log(`an unknown model: ${e.status_code} ${e.message}`);
  return e.status_code === 404;
});
console.log("ok: ollama for Node", createRequire(import.meta.url)("ollama/package.json").version);
