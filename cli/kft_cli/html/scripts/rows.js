import { shareRight } from "./facets.js";

/** An element with text and attributes. Text from a model becomes a text node and nothing else. */
export function make(tag, attributes = {}, ...content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, String(value));
  }
  made.append(...content.map((one) => (one instanceof Node ? one : String(one))));
  return made;
}

/** A category as a coloured square with its first letter; its name is read out and shown on hovering. */
export function badge(category, name) {
  const letter = name === "never right" ? "N" : name[0];
  const shown = make("span", { "aria-hidden": "true", title: name }, letter);
  return make("span", { class: `badge c${category}` }, shown, make("span", { class: "unseen" }, name));
}

/** Right, wrong or in between, by a sign and its words. */
export function mark(share) {
  const [sign, words, kind] =
    share === null ? ["–", "not asked", "none"]
    : share === 1 ? ["✓", "right", "right"]
    : share === 0 ? ["✗", "wrong", "wrong"]
    : ["◐", "right under some exemplars", "some"];
  const shown = make("span", { "aria-hidden": "true", title: words }, sign);
  return make("span", { class: `mark ${kind}` }, shown, make("span", { class: "unseen" }, words));
}

/** The list of questions: only the rows that can be seen are in the page, however many there are. */
export class Rows {
  constructor(list, space, data, open) {
    Object.assign(this, { list, space, data, open, found: [], active: -1, opened: -1, made: new Map() });
    this.told = data.views.map((view, number) => number).filter((number) => data.views[number].told);
    list.addEventListener("scroll", () => this.draw(), { passive: true });
    list.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("focus", () => this.active < 0 && this.found.length && this.activate(0));
    list.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) this.choose(Number(row.dataset.place));
    });
    new ResizeObserver(() => this.draw(true)).observe(list);
  }

  /** The height of a row in pixels, as the style says. */
  height() {
    return Number.parseFloat(getComputedStyle(this.list).getPropertyValue("--row")) || 52;
  }

  show(found) {
    this.found = found;
    this.active = -1;
    this.list.scrollTop = 0;
    this.draw(true);
  }

  draw(again = false) {
    const high = this.height();
    this.space.style.height = `${this.found.length * high}px`;
    const first = Math.max(0, Math.floor(this.list.scrollTop / high) - 4);
    const last = Math.min(this.found.length, Math.ceil((this.list.scrollTop + this.list.clientHeight) / high) + 4);
    for (const [place, row] of this.made) {
      if (again || place < first || place >= last) {
        row.remove();
        this.made.delete(place);
      }
    }
    for (let place = first; place < last; place += 1) {
      if (this.made.has(place)) continue;
      const row = this.row(place);
      row.style.transform = `translateY(${place * high}px)`;
      this.made.set(place, row);
      this.space.append(row);
    }
    this.marks();
  }

  row(place) {
    const question = this.data.questions[this.found[place]];
    const signs = make("span", { class: "signs" });
    for (const number of this.told) {
      const one = question.sorted[number];
      if (one) signs.append(badge(one.c, this.data.views[number].levels[one.c]));
    }
    for (const pair of this.data.pairs) {
      if (!question.tested[pair.before]) continue;
      const both = make("span", { class: "both" }, mark(shareRight(question, pair.before)), mark(shareRight(question, pair.after)));
      signs.append(both);
    }
    return make(
      "div",
      {
        role: "option", id: `row-${place}`, "data-place": place, "aria-selected": "false",
        "aria-setsize": this.found.length, "aria-posinset": place + 1,
      },
      make("span", { class: "text" }, question.question),
      make("span", { class: "type" }, this.data.types[question.type]),
      signs,
    );
  }

  marks() {
    for (const [place, row] of this.made) {
      row.classList.toggle("active", place === this.active);
      row.setAttribute("aria-selected", String(this.found[place] === this.opened));
    }
    if (this.made.has(this.active)) this.list.setAttribute("aria-activedescendant", `row-${this.active}`);
    else this.list.removeAttribute("aria-activedescendant");
  }

  activate(place) {
    this.active = Math.max(0, Math.min(this.found.length - 1, place));
    const high = this.height();
    const top = this.active * high;
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    if (top + high > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = top + high - this.list.clientHeight;
    this.draw();
  }

  choose(place) {
    if (place < 0 || place >= this.found.length) return;
    this.activate(place);
    this.open(this.found[place]);
  }

  /** Mark a question as open, wherever it is in the list. */
  markOpen(question) {
    this.opened = question;
    const place = this.found.indexOf(question);
    if (place >= 0 && place !== this.active) this.activate(place);
    else this.marks();
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / this.height()) - 1);
    const to = {
      ArrowDown: this.active + 1, ArrowUp: this.active - 1, PageDown: this.active + page, PageUp: this.active - page,
      Home: 0, End: this.found.length - 1,
    }[event.key];
    if (event.key === "Enter" || event.key === " ") this.choose(Math.max(0, this.active));
    else if (to !== undefined && this.found.length) this.activate(to);
    else return;
    event.preventDefault();
  }
}
