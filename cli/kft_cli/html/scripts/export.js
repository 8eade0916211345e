import { shareRight } from "./facets.js";

/** The questions as comma-separated values, a line each; no cell can act as a formula of a spreadsheet. */
export function toCsv(data, rows) {
  const heads = ["split", "id", "type", "question", "accepted", "trained in"];
  for (const view of data.views) heads.push(`category: ${view.label}`, `greedy right: ${view.label}`, `greedy asked: ${view.label}`);
  for (const test of data.tests) heads.push(`answers: ${test.label}`, `share right: ${test.label}`);
  const lines = rows.map((row) => {
    const one = data.questions[row];
    const cells = [one.split, one.id, data.types[one.type], one.question, one.accepted.join("; ")];
    cells.push(one.trained.map((stage) => data.stages[stage]).join("; "));
    data.views.forEach((view, number) => {
      const found = one.sorted[number];
      cells.push(...(found ? [view.levels[found.c], found.p[0], found.p[1]] : ["", "", ""]));
    });
    data.tests.forEach((test, number) => {
      const given = one.tested[number] ?? [];
      cells.push(given.map((answer) => one.answers[answer].text).join("; "), shareRight(one, number) ?? "");
    });
    return cells;
  });
  return [heads, ...lines].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

function cell(value) {
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The questions as JSON Lines, with every answer and its reason. */
export function toJsonLines(data, rows) {
  const answer = (one) => ({ text: one.text, right: one.ok, rule: one.rule === null ? null : data.rules[one.rule], words: one.words });
  const lines = rows.map((row) => {
    const one = data.questions[row];
    const categories = data.views.flatMap((view, number) => {
      const found = one.sorted[number];
      if (!found) return [];
      const greedy = found.g.map((given) => (given < 0 ? null : answer(one.answers[given])));
      const sampled = found.s.map(([given, times]) => ({ ...answer(one.answers[given]), times }));
      return [{ view: view.label, category: view.levels[found.c], greedy, sampled, chance_of_another: found.r }];
    });
    const tests = data.tests.flatMap((test, number) => {
      const given = one.tested[number];
      return given ? [{ test: test.label, answers: given.map((index) => answer(one.answers[index])) }] : [];
    });
    const trained = one.trained.map((stage) => data.stages[stage]);
    const { split, id, question, accepted } = one;
    return { split, id, type: data.types[one.type], question, accepted, trained_in: trained, categories, tests };
  });
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** Save text as a file of the reader's. */
export function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
