/** A filter: its values, and for each question the numbers of the values that it has. */
function makeFacet(key, title, questions, valuesOf, order = []) {
  const numbers = new Map(order.map((value, number) => [value, number]));
  const starts = new Uint32Array(questions.length + 1);
  const codes = [];
  questions.forEach((question, index) => {
    for (const value of valuesOf(question)) {
      if (!numbers.has(value)) numbers.set(value, numbers.size);
      codes.push(numbers.get(value));
    }
    starts[index + 1] = codes.length;
  });
  return { key, title, values: [...numbers.keys()], numbers, starts, codes: Uint32Array.from(codes) };
}

/** All filters of the questions; one with fewer than two values that occur is left out. */
export function makeFacets(data) {
  const { questions } = data;
  const found = [];
  const add = (key, title, valuesOf, order, open = false) =>
    found.push({ ...makeFacet(key, title, questions, valuesOf, order), open });
  add("questions", "Questions", (one) => [one.split === "train" ? "training" : "test"], ["training", "test"], true);
  data.moves.forEach((move, place) => {
    const order = ["upgraded", "downgraded", "forgotten", "unchanged"];
    add(`moved ${move.label}`, `Moved: ${move.label}`, (one) => movesOf(data, move, one), order, place === 0);
  });
  data.pairs.forEach((pair, place) => {
    const order = [pair.gained, pair.lost, pair.right, pair.wrong];
    add(`test ${pair.label}`, `Test: ${pair.label}`, (one) => outcomesOf(pair, one), order, place === 0);
  });
  if (data.stages.length) {
    const names = (one) => (one.trained.length ? one.trained.map((stage) => data.stages[stage]) : ["not trained"]);
    add("trained", "Trained in", (one) => (one.split === "train" ? names(one) : []), [...data.stages, "not trained"], true);
  }
  data.views.forEach((view, number) => {
    const label = (one) => (one.sorted[number] ? [view.levels[one.sorted[number].c]] : []);
    add(categoryKey(view), `Category: ${view.label}`, label, [...new Set(view.levels)]);
  });
  add("type", "Type", (one) => [data.types[one.type]], [...data.types].sort());
  data.tests.forEach((test, number) => {
    add(`right ${test.label}`, `Test answer: ${test.label}`, (one) => verdictsOf(one, number), [
      "right", "right under some exemplars", "wrong",
    ]);
  });
  add("reason", "Why an answer is right or wrong", (one) => reasonsOf(data, one));
  return found.filter((facet) => new Set(facet.codes).size > 1);
}

/** The name in the address of the filter by the category of a view. */
export function categoryKey(view) {
  return `category ${view.label}`;
}

function movesOf(data, move, question) {
  const [before, after] = [question.sorted[move.before], question.sorted[move.after]];
  if (!before || !after) return [];
  const rank = (view, one) => data.views[view].levels.indexOf(data.views[view].levels[one.c]);
  const [from, to] = [rank(move.before, before), rank(move.after, after)];
  if (to === from) return ["unchanged"];
  if (to < from) return ["upgraded"];
  return from === 0 ? ["downgraded", "forgotten"] : ["downgraded"];
}

/** The share of right answers of a question in a test view; null where it was not asked. */
export function shareRight(question, number) {
  const given = question.tested[number];
  if (!given || !given.length) return null;
  return given.filter((answer) => question.answers[answer].ok).length / given.length;
}

function outcomesOf(pair, question) {
  const [before, after] = [shareRight(question, pair.before), shareRight(question, pair.after)];
  if (before === null || after === null) return [];
  if (after > before) return [pair.gained];
  if (after < before) return [pair.lost];
  if (after === 1) return [pair.right];
  return after === 0 ? [pair.wrong] : ["right as often as before"];
}

function verdictsOf(question, number) {
  const share = shareRight(question, number);
  if (share === null) return [];
  return [share === 1 ? "right" : share === 0 ? "wrong" : "right under some exemplars"];
}

function reasonsOf(data, question) {
  const given = question.answers.filter((answer) => answer.rule !== null);
  return new Set(given.map((answer) => `${answer.ok ? "right" : "wrong"}: ${data.rules[answer.rule]}`));
}

/** Text as it is searched: without accents and in small letters. */
export function plainText(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/** What is searched of each question: the question, what is accepted, and all answers. */
export function searchTexts(data) {
  return data.questions.map((one) =>
    plainText([one.id, one.question, ...one.accepted, ...one.answers.map((answer) => answer.text)].join("\n")),
  );
}

/**
 * The questions that have a chosen value of every filter, and for each value of each filter how many there would be
 * with it: a filter does not count for its own values.
 */
export function select(facets, chosen, count, matches) {
  const wanted = facets.map((facet) => {
    const values = chosen.get(facet.key);
    if (!values) return null;
    const marks = new Uint8Array(facet.values.length);
    for (const value of values) if (facet.numbers.has(value)) marks[facet.numbers.get(value)] = 1;
    return marks;
  });
  const counts = facets.map((facet) => new Uint32Array(facet.values.length));
  const rows = [];
  for (let row = 0; row < count; row += 1) {
    if (!matches(row)) continue;
    let failed = -1;
    let failures = 0;
    for (let f = 0; f < facets.length && failures < 2; f += 1) {
      if (wanted[f] && !hasOne(facets[f], row, wanted[f])) {
        failed = f;
        failures += 1;
      }
    }
    if (failures > 1) continue;
    if (failures === 0) rows.push(row);
    for (let f = 0; f < facets.length; f += 1) {
      if (failures === 1 && f !== failed) continue;
      const { starts, codes } = facets[f];
      for (let at = starts[row]; at < starts[row + 1]; at += 1) counts[f][codes[at]] += 1;
    }
  }
  return { rows, counts };
}

function hasOne(facet, row, marks) {
  for (let at = facet.starts[row]; at < facet.starts[row + 1]; at += 1) if (marks[facet.codes[at]]) return true;
  return false;
}
