import { categoryKey } from "./facets.js";

/** Make the bands of the flow figure open the questions that they stand for, by mouse and by keyboard. */
export function linkBands(data, show) {
  const views = new Map(data.views.filter((view) => view.told).map((view) => [view.point, view]));
  for (const band of document.querySelectorAll("#figure-flow .band")) {
    const { before, after, beforePoint, afterPoint } = band.dataset;
    const [from, to] = [views.get(beforePoint), views.get(afterPoint)];
    if (!from || !to) continue;
    const words = band.querySelector("title").textContent;
    const names = ["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"];
    const level = (view, category) => view.levels[names.indexOf(category)];
    const chosen = new Map([
      [categoryKey(from), new Set([level(from, before)])],
      [categoryKey(to), new Set([level(to, after)])],
    ]);
    const svg = band.closest("svg");
    svg.setAttribute("role", "group");
    band.setAttribute("role", "button");
    band.setAttribute("tabindex", "0");
    band.setAttribute("aria-label", `Show ${words}`);
    band.addEventListener("click", () => show(chosen));
    band.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      show(chosen);
    });
  }
}
