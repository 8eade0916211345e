import { emptyState, readAddress } from "./address.js";
import { Explorer, copyText } from "./explorer.js";
import { linkBands } from "./figures.js";
import { unpack } from "./unpack.js";

const part = (id) => document.getElementById(id);
const TABS = [["tab-report", "report"], ["tab-questions", "explorer"]];

/** Show one of the two views; the other is hidden. */
function showTab(wanted) {
  for (const [tab, panel] of TABS) {
    const chosen = tab === wanted;
    part(tab).setAttribute("aria-selected", String(chosen));
    part(tab).tabIndex = chosen ? 0 : -1;
    part(panel).hidden = !chosen;
  }
}

function setUpTabs() {
  document.querySelector(".tabs").hidden = false;
  part("report").setAttribute("role", "tabpanel");
  part("explorer").setAttribute("role", "tabpanel");
  part("tab-report").addEventListener("click", () => {
    history.replaceState(null, "", location.pathname + location.search);
    showTab("tab-report");
  });
  part("tab-questions").addEventListener("click", () => {
    if (!readAddress(location.hash)) location.hash = "#questions";
    showTab("tab-questions");
  });
  document.querySelector(".tabs").addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const other = document.activeElement === part("tab-report") ? "tab-questions" : "tab-report";
    part(other).click();
    part(other).focus();
  });
  const follow = () => showTab(readAddress(location.hash) ? "tab-questions" : "tab-report");
  window.addEventListener("hashchange", follow);
  follow();
}

function setUpTheme() {
  const button = part("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem("kft-theme");
    } catch {
      return null; // storage is forbidden: the page follows the system
    }
  };
  const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const say = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  };
  if (["light", "dark"].includes(stored())) document.documentElement.dataset.theme = stored();
  button.hidden = false;
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("kft-theme", document.documentElement.dataset.theme);
    } catch {
      // the choice lasts as long as the page
    }
    say();
  });
  dark.addEventListener("change", say);
  say();
}

function setUpCopying() {
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", () => copyText(button, button.parentElement.querySelector("code").textContent));
  }
}

async function setUpQuestions() {
  const element = part("questions");
  if (!element) {
    document.documentElement.dataset.ready = "true";
    return;
  }
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done))); // first the report is painted
  try {
    const data = await unpack(element);
    element.remove();
    const explorer = new Explorer(data, part);
    linkBands(data, (chosen) => {
      explorer.change({ ...emptyState(), chosen, open: "" });
      showTab("tab-questions");
      part("rows").focus();
    });
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    part("found").textContent = `The questions of this page cannot be opened (${error.message}). Write the page again, or use a newer browser.`;
  }
}

setUpTheme();
setUpTabs();
setUpCopying();
setUpQuestions();
