import { badge, make, mark } from "./rows.js";

const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Everything known of one question: what is accepted, and every answer at every point with its reason. */
export function describe(data, question) {
  const trained = question.trained.map((stage) => data.stages[stage]);
  const facts = [
    ["Accepted", question.accepted.join("; ") || "–"],
    ["Type", data.types[question.type]],
    ["Question", `${question.id}, ${question.split === "train" ? "training" : "test"}`],
  ];
  if (question.split === "train" && data.stages.length) facts.push(["Trained in", trained.join(", ") || "no stage"]);
  const list = make("dl");
  for (const [name, value] of facts) list.append(make("dt", {}, name), make("dd", {}, value));
  const parts = [make("h2", { id: "detail-title", tabindex: "-1" }, question.question), list];
  data.views.forEach((view, number) => {
    if (question.sorted[number]) parts.push(...sortedPart(data, question, view, question.sorted[number]));
  });
  parts.push(...testedPart(data, question));
  return parts;
}

function sortedPart(data, question, view, one) {
  const [right, asked, sampledRight, sampled] = one.p;
  const heading = make("h3", {}, view.label, " ", badge(one.c, view.levels[one.c]), " ", view.levels[one.c]);
  const words = [`${right} of ${asked} greedy answers right${interval(data, right, asked)}`];
  if (sampled) words.push(`${sampledRight} of ${sampled} sampled answers right${interval(data, sampledRight, sampled)}`);
  const asides = [`${words.join("; ")}. Rule: ${view.scorer}.`];
  if (one.r !== null) asides.push(`Asked again with other exemplars, the category would change with a chance of ${percent(one.r)}.`);
  const greedy = new Map();
  for (const answer of one.g) if (answer >= 0) greedy.set(answer, (greedy.get(answer) ?? 0) + 1);
  const drawn = new Map(one.s);
  const answers = [...new Set([...greedy.keys(), ...drawn.keys()])];
  answers.sort((a, b) => (greedy.get(b) ?? 0) - (greedy.get(a) ?? 0) || (drawn.get(b) ?? 0) - (drawn.get(a) ?? 0));
  const rows = answers.map((answer) => answerRow(data, question.answers[answer], [greedy.get(answer) ?? 0, ...(sampled ? [drawn.get(answer) ?? 0] : [])]));
  const heads = ["Answer", "Greedy", ...(sampled ? ["Sampled"] : []), "Verdict", "Why"];
  return [heading, make("p", {}, asides.join(" ")), table(`Answers: ${view.label}`, heads, rows)];
}

function testedPart(data, question) {
  const rows = [];
  data.tests.forEach((test, number) => {
    (question.tested[number] ?? []).forEach((answer, place, all) => {
      const label = all.length > 1 ? `${test.label} (set ${place + 1})` : test.label;
      rows.push(answerRow(data, question.answers[answer], [], label));
    });
  });
  if (!rows.length) return [];
  const rules = [...new Set(data.tests.map((test) => test.scorer))].join(", ");
  const heads = ["Asked", "Answer", "Verdict", "Why"];
  return [make("h3", {}, "Test answers"), make("p", {}, `Rule: ${rules}.`), table("Test answers", heads, rows)];
}

function interval(data, right, asked) {
  const found = data.intervals[`${right}/${asked}`];
  if (!found) return "";
  return `: P_correct ${(right / asked).toFixed(2)} (95 % interval ${found[0].toFixed(2)}–${found[1].toFixed(2)})`;
}

function answerRow(data, answer, counts, label = null) {
  const verdict = answer.ok === null ? make("span", {}, "not known") : make("span", {}, mark(answer.ok ? 1 : 0), make("span", { "aria-hidden": "true" }, answer.ok ? " right" : " wrong"));
  const why = make("td", { class: "why" });
  if (answer.rule === null) why.append("no reason is known");
  else {
    why.append(data.rules[answer.rule]);
    if (answer.words) why.append(": ", make("q", {}, answer.words));
  }
  const text = answer.text ? make("td", { class: "given" }, answer.text) : make("td", { class: "given empty" }, "(empty)");
  const cells = [text, ...counts.map((count) => make("td", { class: "n" }, count || "–")), make("td", {}, verdict), why];
  return make("tr", {}, ...(label === null ? [] : [make("th", { scope: "row" }, label)]), ...cells);
}

function table(label, heads, rows) {
  const head = make("tr", {}, ...heads.map((one) => make("th", { scope: "col" }, one)));
  const made = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
  return make("div", { class: "wide", tabindex: "0", role: "group", "aria-label": label }, made);
}
