/**
 * The state of the explorer as it stands in the address, so that a link shows the same view again:
 * #questions?q=TEXT&sort=NAME&open=SPLIT/ID&FACET=VALUE&FACET=VALUE
 */
const OWN = new Set(["q", "sort", "open"]);

export function emptyState() {
  return { search: "", sort: "", open: "", chosen: new Map() };
}

/** The state in an address; null where the address is one of the report. */
export function readAddress(hash) {
  if (!hash.startsWith("#questions")) return null;
  const state = emptyState();
  const given = new URLSearchParams(hash.slice("#questions".length).replace(/^\?/, ""));
  state.search = given.get("q") ?? "";
  state.sort = given.get("sort") ?? "";
  state.open = given.get("open") ?? "";
  for (const [key, value] of given) {
    if (OWN.has(key)) continue;
    if (!state.chosen.has(key)) state.chosen.set(key, new Set());
    state.chosen.get(key).add(value);
  }
  return state;
}

export function writeAddress(state) {
  const made = new URLSearchParams();
  if (state.search) made.set("q", state.search);
  if (state.sort) made.set("sort", state.sort);
  for (const [key, values] of state.chosen) for (const value of values) made.append(key, value);
  if (state.open) made.set("open", state.open);
  const text = made.toString();
  return text ? `#questions?${text}` : "#questions";
}
