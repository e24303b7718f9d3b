import { stream } from "./api.js";
import { Answer } from "./answer.js";
import { h, fill, count } from "./dom.js";
import { say } from "./log.js";
import * as settings from "./settings.js";
import { term } from "./tip.js";

// The view that has one question answered in each placement of the passages.

const placements = [
  ["virtual", "In front of the text by their positions, written behind it: the text’s keys and values stay."],
  ["append", "Behind the text, as in the paper: the text’s stay, the passages’ are read again each stride."],
  ["prepend", "In front of the text, in a chat of the question: a new passage has all behind it read again."],
  ["none", "Nothing is looked up."],
];

const tokens = 48; // that each writes, so that they can be compared

export class Compare {
  #running = null;
  #conversation;

  /** conversation returns the messages of the one that is asked besides. */
  constructor(conversation) {
    this.#conversation = conversation;
    this.goOn = h("input", { type: "checkbox", checked: true });
    this.after = h("span");
    this.kind = h("select", { onchange: () => this.#draw() }, h("option", { value: "answer" }, "an answer"), h("option", { value: "text" }, "more of a text"));
    this.question = h("textarea", { rows: 2, name: "question", "aria-label": "The question, or the text to go on with", onkeydown: (e) => {
      if (e.key === "Enter" && !e.shiftKey && this.#answers() && !e.isComposing) {
        e.preventDefault();
        this.#submit();
      }
    } });
    this.button = h("button", { type: "submit", class: "primary" }, "Compare");
    this.results = h("div", { class: "results" });
    this.element = h("div", { class: "compare" },
      h("h1", {}, "The placements side by side"),
      h("p", { class: "lead" }, `The same is written with the passages in four places, one after the other and each from nothing, so that none helps or disturbs another. Each writes ${tokens} tokens; only the placement differs, so the model answers without its own adapter unless you choose one.`),
      h("form", { class: "composer", onsubmit: (e) => { e.preventDefault(); this.#submit(); } },
        h("div", { class: "field" }, this.question, this.button),
        h("div", { class: "under" }, h("div", { class: "settings" }, h("label", {}, h("span", {}, "What is written"), this.kind)), settings.bar("placement"), this.next = h("label", { class: "after" }, this.goOn, this.after))),
      this.results);
  }

  /** shown is called when the view is. */
  shown() {
    this.#draw();
    this.question.focus({ preventScroll: true });
  }

  /** #draw shows what belongs to what is written. */
  #draw() {
    const turns = this.#conversation().length / 2;
    this.next.hidden = turns === 0 || !this.#answers();
    this.question.placeholder = this.#answers() ? "A question for all placements" : "A text to go on with: the longer it is, the more it costs to read it again";
    this.question.rows = this.#answers() ? 2 : 8;
    this.after.textContent = `as the next question of the conversation (${count(turns, "question")} so far)`;
  }

  /** #answers tells whether a question is answered, and not a text gone on with. */
  #answers() {
    return this.kind.value === "answer";
  }

  #submit() {
    if (this.#running) return this.#running.abort();
    const question = this.question.value.trim();
    if (!question) return this.question.focus();
    if (settings.chose().index === "") {
      fill(this.results, h("p", { class: "error", role: "alert" }, "Choose documents first: without them the placements do not differ."));
      return;
    }
    this.run(question);
  }

  /** run has the question answered, or the text gone on with, in each placement. */
  async run(question) {
    this.#running = new AbortController();
    this.button.textContent = "Stop";
    const columns = placements.map(([name, what]) => {
      const answer = new Answer(() => {});
      const numbers = h("div", { class: "numbers" });
      const state = h("p", { class: "state quiet" }, "waits");
      return { name, answer, numbers, state, element: h("section", { class: "column", "aria-label": name }, h("h2", {}, name), h("p", { class: "what" }, what), numbers, state, answer.element) };
    });
    fill(this.results, columns.map((c) => c.element));
    try {
      for (const c of columns) {
        await this.#column(c, question);
        this.#bars(columns);
      }
      const done = columns.filter((c) => c.ms);
      const fastest = done.slice(0, 3).reduce((a, b) => (b.ms < a.ms ? b : a));
      say(`The comparison is complete: ${done.map((c) => `${c.name} ${c.ms.toFixed(1)}`).join(", ")} milliseconds a token. Of those with passages ${fastest.name} is the fastest.`);
    } catch (e) {
      const at = columns.find((c) => !c.ms);
      if (at) fill(at.state, e.name === "AbortError" ? "stopped" : h("span", { class: "error", role: "alert" }, e.message));
    } finally {
      this.#running = null;
      this.button.textContent = "Compare";
    }
  }

  async #column(c, question) {
    const salt = crypto.getRandomValues(new Uint32Array(4)).join("-"); // nothing that was read before is found
    c.state.textContent = "writes …";
    const { model, flashback } = settings.asked({ placement: c.name, adapter: settings.chose().adapter || "none" });
    const body = { model, cache_salt: salt, flashback: { ...flashback, trace: true, cite: "none" }, max_tokens: tokens, ignore_eos: true };
    if (this.#answers()) body.messages = [...(this.goOn.checked ? this.#conversation() : []), { role: "user", content: question }];
    else body.prompt = question;
    for await (const event of stream(this.#answers() ? "v1/chat/completions" : "v1/completions", body, this.#running.signal)) {
      const choice = event.choices[0];
      const text = choice?.delta?.content ?? choice?.text;
      if (text) c.answer.add(text);
      if (event.flashback?.stride) c.answer.end(event.flashback.stride);
      if (event.flashback?.counts) c.answer.told(event.flashback);
    }
    c.state.textContent = "";
    const f = c.answer.trace.finish;
    c.ms = f.decode_ns / 1e6 / Math.max(1, f.tokens - 1);
  }

  #bars(columns) {
    const most = Math.max(...columns.map((c) => c.ms ?? 0));
    for (const c of columns.filter((c) => c.ms)) {
      const n = c.answer.trace.finish.counts;
      const width = h("span", { class: "fill" });
      width.style.width = `${(100 * c.ms) / most}%`;
      const row = (name, value) => [h("dt", {}, name), h("dd", {}, value)];
      fill(c.numbers,
        h("p", { class: "ms" }, h("strong", {}, c.ms.toFixed(1)), " ms a token"),
        h("span", { class: "track", "aria-hidden": "true" }, width),
        h("dl", {},
          row(term("computed", "Tokens of text and passages that the model read or wrote after the prompt: what the placement costs."), count(n.prefilled + n.decoded, "token")),
          row(term("reused", "Tokens of the text whose keys and values were kept from the stride before."), count(n.reused, "token")),
          row("of passages", n.evidence ? `${n.evidence_reused.toLocaleString("en")} of ${n.evidence.toLocaleString("en")} reused` : "none"),
          row("first token", `${(c.answer.trace.finish.first_token_ns / 1e6).toFixed(0)} ms`)));
    }
  }
}
