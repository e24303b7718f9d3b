import { send, stream } from "./api.js";
import { Answer, summary } from "./answer.js";
import { Evidence } from "./evidence.js";
import { h, fill, count } from "./dom.js";
import { say, Sentences } from "./log.js";
import * as settings from "./settings.js";

// The view of a conversation.

export class Ask {
  #messages = []; // what the server is told of the conversation
  #running = null; // what ends the answer under way
  #empty;

  constructor() {
    this.evidence = new Evidence((answer) => this.weigh(answer));
    this.turns = h("div", { class: "turns" });
    this.question = h("textarea", { rows: 2, name: "question", placeholder: "Ask your documents", "aria-label": "Your question", onkeydown: (e) => {
      if (e.key === "Enter" && !e.shiftKey && !e.isComposing) {
        e.preventDefault();
        this.#submit();
      }
    } });
    this.button = h("button", { type: "submit", class: "primary" }, "Ask");
    this.again = h("button", { type: "button", class: "plain", hidden: true, onclick: () => this.clear() }, "New conversation");
    this.#empty = h("div", { class: "welcome" },
      h("p", { class: "title", "aria-hidden": "true" }, "Ask your documents"),
      h("p", {}, "The answer is written in strides. Before each, passages are looked up and put beside the text, and each part of the answer has the colour of the passage that it was written in sight of. Point at a part to read its passages."));
    this.form = h("form", { class: "composer", onsubmit: (e) => { e.preventDefault(); this.#submit(); } },
      h("div", { class: "field" }, this.question, this.button),
      h("div", { class: "under" }, settings.bar(), this.again));
    this.element = h("div", { class: "ask" },
      h("section", { class: "conversation", "aria-label": "Conversation" }, h("h1", { class: "unseen" }, "Ask your documents"), this.#empty, this.turns, this.form),
      this.evidence.element);
  }

  /** conversation returns the messages so far. */
  conversation() {
    return [...this.#messages];
  }

  /** shown is called when the view is. */
  shown() {
    this.question.focus({ preventScroll: true });
  }

  /** clear begins a new conversation. */
  clear() {
    this.#running?.abort();
    this.#messages = [];
    fill(this.turns);
    this.evidence.clear();
    this.#empty.hidden = false;
    this.again.hidden = true;
    this.question.focus();
  }

  #submit() {
    if (this.#running) return this.#running.abort();
    const question = this.question.value.trim();
    if (!question) return this.question.focus();
    this.question.value = "";
    this.ask(question);
  }

  /** ask has a question answered. */
  async ask(question) {
    const request = { ...settings.asked(), messages: [...this.#messages, { role: "user", content: question }] };
    const answer = new Answer((stride, chosen) => this.evidence.show(answer, stride, chosen));
    answer.request = request;
    const foot = h("p", { class: "foot" }, "Looking up …");
    const turn = h("article", { class: "turn" }, h("h2", { class: "question" }, question), answer.element, foot);
    this.#empty.hidden = true;
    this.again.hidden = false;
    this.turns.append(turn);
    toEnd();
    this.#busy(new AbortController());
    const sentences = new Sentences();
    answer.foot = foot;
    turn.setAttribute("aria-busy", "true");
    try {
      const body = { ...request, flashback: { ...request.flashback, trace: true, cite: "none" } };
      for await (const event of stream("v1/chat/completions", body, this.#running.signal)) {
        const text = event.choices[0]?.delta.content;
        const follow = atEnd();
        if (text) {
          if (foot.textContent) foot.textContent = "";
          answer.add(text);
          sentences.add(text);
        }
        if (event.flashback?.stride) answer.end(event.flashback.stride);
        if (event.flashback?.counts) answer.told(event.flashback);
        if (follow) toEnd();
      }
      sentences.end();
      this.#messages = [...request.messages, { role: "assistant", content: answer.whole() }];
      const follow = atEnd();
      this.#finish(answer);
      if (follow) toEnd();
      say(answer.passages.length ? `The answer is complete; ${count(answer.passages.length, "passage")} in sight.` : "The answer is complete.");
    } catch (e) {
      sentences.end();
      this.#failed(turn, foot, question, e);
    } finally {
      turn.removeAttribute("aria-busy");
      this.#busy(null);
      this.evidence.render();
    }
  }

  #busy(controller) {
    this.#running = controller;
    this.button.textContent = controller ? "Stop" : "Ask";
  }

  /** #finish says what an answer took, and offers to weigh its passages. */
  #finish(answer) {
    const seen = answer.passages.length > 0;
    fill(answer.foot, summary(answer), seen && answer.trace && [" ", h("button", { type: "button", class: "plain weigh", onclick: () => this.weigh(answer) }, "Measure influence")]);
  }

  #failed(turn, foot, question, e) {
    if (e.name === "AbortError") {
      foot.textContent = "Stopped. The conversation goes on as if this had not been asked.";
      return;
    }
    const retry = h("button", { type: "button", onclick: () => { turn.remove(); this.ask(question); } }, "Ask again");
    const fresh = e.code === "context_length_exceeded" && h("button", { type: "button", onclick: () => this.clear() }, "New conversation");
    fill(foot, h("span", { class: "error", role: "alert" }, e.message), " ", fresh || retry);
    say(e.message);
  }

  /** weigh has the server score an answer without each of its passages. */
  async weigh(answer) {
    fill(answer.foot, "Scoring the answer without each passage …");
    try {
      const told = await send("POST", "v1/influence", { ...answer.request, trace: answer.trace });
      answer.weigh(told.influence);
      const toggle = h("button", { type: "button", class: "plain", onclick: () => {
        const influence = toggle.getAttribute("data-by") !== "influence";
        answer.colourBy(influence);
        toggle.setAttribute("data-by", influence ? "influence" : "provenance");
        toggle.textContent = influence ? "Colour by what was in sight" : "Colour by influence";
      }, "data-by": "influence" }, "Colour by what was in sight");
      fill(answer.foot, summary(answer), " ", toggle);
      const best = answer.passages.reduce((a, b) => (b.nats > a.nats ? b : a));
      say(`Influence is measured. Passage ${best.passage.number} gave most, ${best.nats.toFixed(1)} nats.`);
    } catch (e) {
      this.#finish(answer);
      answer.foot.prepend(h("span", { class: "error", role: "alert" }, e.message), " ");
    }
    this.evidence.render();
  }
}

/** atEnd tells whether the end of the page is in sight, so that it is to stay there. */
const atEnd = () => document.documentElement.scrollHeight - scrollY - innerHeight < 80;
const toEnd = () => scrollTo(0, document.documentElement.scrollHeight);
