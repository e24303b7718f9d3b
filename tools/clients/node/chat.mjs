// Two questions with sources through openai-node, plain and by its stream helper.
//
//     node tools/clients/node/chat.mjs MODEL      # OPENAI_BASE_URL and OPENAI_API_KEY say where
import assert from "node:assert";
import OpenAI from "openai";
import { VERSION } from "openai/version";

const model = process.argv[2];
const questions = ["Where does the spare key of the boathouse hang?", "Who may lend it?"];
const client = new OpenAI();

async function ask(how) {
  const messages = [];
  for (const [i, content] of questions.entries()) {
    messages.push({ role: "user", content });
    const body = { model, messages, max_tokens: 48, flashback: { stride: 8 } };
    let text, annotations = [], usage;
    if (how === "stream()") {
      const stream = client.chat.completions.stream({ ...body, stream_options: { include_usage: true } });
      stream.on("chunk", (chunk) => annotations.push(...(chunk.choices[0]?.delta.annotations ?? [])));
      text = await stream.finalContent();
      usage = await stream.totalUsage();
      usage = (await stream.finalChatCompletion()).usage ?? usage;
    } else {
      const answer = await client.chat.completions.create(body);
      ({ usage } = answer);
      text = answer.choices[0].message.content;
      annotations = answer.choices[0].message.annotations;
    }
    console.log(`${how}, turn ${i + 1}: ${JSON.stringify(text.trim())}`);
    for (const [url, title] of new Map(annotations.map((a) => [a.url_citation.url, a.url_citation.title]))) console.log(`    ${title} ${url}`);
    const reused = usage.prompt_tokens_details?.cached_tokens;
    console.log(`    ${usage.prompt_tokens} tokens of the prompt, ${reused} of them reused`);
    assert(text.trim() && annotations.length, "no answer, or no sources");
    assert(i === 0 || reused > 0, "nothing of the first turn was reused");
    messages.push({ role: "assistant", content: text });
  }
  return messages;
}

assert.deepEqual(await ask("plain"), await ask("stream()"), "the two ways do not write the same");
console.log("ok: openai-node", VERSION);
