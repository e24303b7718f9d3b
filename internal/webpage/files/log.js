// What a screen reader hears: whole sentences of an answer, as they are finished, not each
// token. The log is beside the conversation, which is there to be read.

const region = document.getElementById("log");
const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });

/** say has a text announced. */
export function say(text) {
  const line = document.createElement("p");
  line.textContent = text;
  region.append(line);
  while (region.childElementCount > 50) region.firstElementChild.remove();
}

/** Sentences announces a text that grows, sentence by sentence. */
export class Sentences {
  #rest = "";

  /** add takes more of the text. */
  add(text) {
    this.#rest += text;
    const all = [...segmenter.segment(this.#rest)];
    for (const s of all.slice(0, -1)) if (s.segment.trim()) say(s.segment.trim());
    this.#rest = all.at(-1)?.segment ?? "";
  }

  /** end announces what is left. */
  end() {
    if (this.#rest.trim()) say(this.#rest.trim());
    this.#rest = "";
  }
}
