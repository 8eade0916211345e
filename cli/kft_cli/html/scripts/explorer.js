import { emptyState, readAddress, writeAddress } from "./address.js";
import { describe } from "./detail.js";
import { save, toCsv, toJsonLines } from "./export.js";
import { makeFacets, plainText, searchTexts, select, shareRight } from "./facets.js";
import { Rows, badge, make, mark } from "./rows.js";

/** The question explorer: search, filters, order, the list and the question that is open. */
export class Explorer {
  constructor(data, part) {
    Object.assign(this, { data, part, state: emptyState(), facets: makeFacets(data), texts: null, found: [] });
    this.orders = makeOrders(data);
    this.keys = new Map(data.questions.map((one, row) => [`${one.split}/${one.id}`, row]));
    this.rows = new Rows(part("rows"), part("rows-space"), data, (row) => this.open(row, true));
    part("sort").append(...this.orders.map((order) => make("option", { value: order.name }, order.name)));
    this.boxes = this.facets.map((facet, number) => this.facetBox(facet, number));
    part("filters").append(...this.boxes.map((box) => box.element));
    part("legend").append(...legend(data));
    this.listen();
    this.read();
  }

  listen() {
    const on = (id, kind, does) => this.part(id).addEventListener(kind, does);
    on("search", "input", () => this.change({ search: this.part("search").value }));
    on("sort", "change", () => this.change({ sort: this.part("sort").value }));
    on("clear", "click", () => this.change(emptyState()));
    on("save-csv", "click", () => save("questions.csv", "text/csv", toCsv(this.data, this.found)));
    on("save-jsonl", "click", () => save("questions.jsonl", "application/jsonl", toJsonLines(this.data, this.found)));
    on("copy-link", "click", () => copyText(this.part("copy-link"), location.href));
    on("show-filters", "click", () => this.showFilters(!this.part("filters").classList.contains("shown")));
    on("detail", "keydown", (event) => event.key === "Escape" && this.close());
    window.addEventListener("hashchange", () => this.read());
  }

  /** Take the state from the address, if it is one of the explorer. */
  read() {
    const state = readAddress(location.hash);
    if (state && writeAddress(state) === writeAddress(this.state) && this.found.length) return;
    this.state = state ?? this.state;
    this.part("search").value = this.state.search;
    this.part("sort").value = this.state.sort || this.orders[0].name;
    this.update();
    const row = this.keys.get(this.state.open);
    if (row === undefined) this.hideDetail();
    else this.open(row, false);
  }

  /** Change part of the state, show it, and put it into the address. */
  change(changes) {
    const open = "open" in changes ? changes.open : this.state.open;
    this.state = { ...this.state, ...changes, open };
    this.part("search").value = this.state.search;
    this.part("sort").value = this.state.sort || this.orders[0].name;
    this.update();
    if (!this.state.open) this.hideDetail();
    this.address();
  }

  address() {
    history.replaceState(null, "", writeAddress(this.state));
  }

  update() {
    const words = plainText(this.state.search).split(/\s+/).filter(Boolean);
    if (words.length && !this.texts) this.texts = searchTexts(this.data);
    const matches = words.length ? (row) => words.every((word) => this.texts[row].includes(word)) : () => true;
    const { rows, counts } = select(this.facets, this.state.chosen, this.data.questions.length, matches);
    const order = this.orders.find((one) => one.name === this.state.sort) ?? this.orders[0];
    this.found = order.value ? sorted(rows, this.data.questions, order) : rows;
    this.rows.show(this.found);
    this.boxes.forEach((box, number) => box.update(counts[number], this.state.chosen.get(box.key)));
    const total = this.data.questions.length;
    const drawn = this.data.of > total ? `, drawn from ${this.data.of.toLocaleString("en")} by a hash of their ids` : "";
    this.part("found").textContent = `${this.found.length.toLocaleString("en")} of ${total.toLocaleString("en")} questions${drawn}`;
  }

  open(row, moved) {
    const question = this.data.questions[row];
    const panel = this.part("detail");
    const closing = make("button", { type: "button", class: "close" }, "Close");
    closing.addEventListener("click", () => this.close());
    panel.replaceChildren(closing, ...describe(this.data, question));
    panel.hidden = false;
    panel.scrollTop = 0;
    this.part("explorer").classList.add("reading");
    this.rows.markOpen(row);
    this.state.open = `${question.split}/${question.id}`;
    if (!moved) return;
    this.address();
    panel.focus({ preventScroll: true });
  }

  /** On a narrow screen the filters lie over the list. */
  showFilters(shown) {
    this.part("filters").classList.toggle("shown", shown);
    this.part("show-filters").setAttribute("aria-expanded", String(shown));
    this.part("show-filters").textContent = shown ? "Show list" : "Filters";
  }

  close() {
    this.state.open = "";
    this.hideDetail();
    this.address();
    this.part("rows").focus();
  }

  hideDetail() {
    this.part("detail").hidden = true;
    this.part("explorer").classList.remove("reading");
    this.rows.markOpen(-1);
  }

  facetBox(facet, number) {
    const list = make("ul");
    const lines = facet.values.map((value, place) => {
      const box = make("input", { type: "checkbox", id: `facet-${number}-${place}` });
      box.addEventListener("change", () => this.toggle(facet.key, value, box.checked));
      const count = make("span", { class: "count" });
      const label = make("label", { for: box.id }, box, make("span", { class: "value" }, value), count);
      const line = make("li", {}, label);
      list.append(line);
      return { value, box, count, line };
    });
    const element = make("details", { class: "facet", open: facet.open }, make("summary", {}, facet.title), list);
    const update = (counts, chosen) => {
      lines.forEach((one, place) => {
        one.box.checked = Boolean(chosen?.has(one.value));
        one.count.textContent = counts[place].toLocaleString("en");
        one.line.classList.toggle("none", counts[place] === 0 && !one.box.checked);
      });
      element.hidden = !chosen?.size && counts.every((count) => count === 0);
      element.classList.toggle("used", Boolean(chosen?.size));
      if (chosen?.size) element.open = true;
    };
    return { key: facet.key, element, update };
  }

  toggle(key, value, wanted) {
    const chosen = new Map([...this.state.chosen].map(([name, values]) => [name, new Set(values)]));
    const values = chosen.get(key) ?? new Set();
    if (wanted) values.add(value);
    else values.delete(value);
    if (values.size) chosen.set(key, values);
    else chosen.delete(key);
    this.change({ chosen });
  }
}

/** Put text into the clipboard and say so on the button. */
export async function copyText(button, text) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => {
    button.textContent = before;
  }, 1500);
}

/** What the signs in a row of the list mean. */
function legend(data) {
  const told = data.views.filter((view) => view.told);
  const parts = [];
  if (told.length) {
    const names = new Map();
    for (const view of told) view.levels.forEach((name, category) => names.set(name, category));
    for (const [name, category] of names) parts.push(make("span", { class: "key" }, badge(category, name), make("span", { "aria-hidden": "true" }, ` ${name}`)));
    parts.push(make("span", { class: "key" }, `at ${told.map((view) => view.point).join(", ")}`));
  }
  if (data.pairs.length) {
    parts.push(make("span", { class: "key" }, mark(1), make("span", { "aria-hidden": "true" }, " right "), mark(0), make("span", { "aria-hidden": "true" }, " wrong")));
    parts.push(make("span", { class: "key" }, `in the test: ${data.pairs.map((pair) => pair.label).join("; ")}`));
  }
  return parts;
}

/** Ways to order the questions; a question without a value comes last. */
function makeOrders(data) {
  const orders = [
    { name: "in their own order", value: null },
    { name: "question, A to Z", value: (one) => plainText(one.question) },
    { name: "type, A to Z", value: (one) => plainText(data.types[one.type]) },
  ];
  const correct = (number) => (one) => (one.sorted[number]?.p[1] ? one.sorted[number].p[0] / one.sorted[number].p[1] : null);
  const change = (before, after) => (one) => (before(one) === null || after(one) === null ? null : after(one) - before(one));
  for (const move of data.moves.slice(0, 1)) {
    const [before, after] = [correct(move.before), correct(move.after)];
    orders.push({ name: `fell most: P_correct ${move.label}`, value: change(before, after) });
    orders.push({ name: `rose most: P_correct ${move.label}`, value: change(before, after), down: true });
    orders.push({ name: `least known: P_correct at ${data.views[move.after].label}`, value: after });
  }
  for (const pair of data.pairs) {
    const value = change((one) => shareRight(one, pair.before), (one) => shareRight(one, pair.after));
    orders.push({ name: `fell most: test ${pair.label}`, value });
    orders.push({ name: `rose most: test ${pair.label}`, value, down: true });
  }
  if (data.views.some((view) => view.told)) {
    const last = data.views.findLastIndex((view) => view.told);
    orders.push({ name: "least certain category", value: (one) => one.sorted[last]?.r ?? null, down: true });
  }
  return orders;
}

function sorted(rows, questions, order) {
  const values = new Map(rows.map((row) => [row, order.value(questions[row])]));
  const sign = order.down ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [values.get(a), values.get(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    return x < y ? -sign : x > y ? sign : a - b;
  });
}
