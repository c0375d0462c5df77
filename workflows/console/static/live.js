// @ts-check
/** Keep a page up to date while it can be seen: its head, the table below it, and whoever listens for "live". */
import { revive } from "./base.js";

const SECONDS = 1.5;
/** A question may take this share of the time that is waited before the next. */
const SHARE = 0.2;

/** @typedef {{version: string, changing: boolean, head: string, actions: string, nodes?: object, taken?: [string, string][]}} Live */

const head = document.getElementById("head");
const table = /** @type {HTMLElement | null} */ (document.querySelector("[data-part]"));
const actions = document.getElementById("actions");
const trouble = document.getElementById("trouble");

/** @param {string | null} message */
function tell(message) {
  if (!trouble) return;
  trouble.hidden = !message;
  trouble.textContent = message ?? "";
}

let shown = table?.innerHTML.trim() ?? "";

/**
 * What finds a link, a box or a button again when the table is new.
 * @param {Element} element
 * @returns {string | null}
 */
function selectorOf(element) {
  const named = ["href", "name", "value"].filter((name) => element.hasAttribute(name));
  return named.map((name) => `[${name}="${CSS.escape(element.getAttribute(name) ?? "")}"]`).join("") || null;
}

/** @returns {Promise<boolean>} whether what is new is shown; not while a person reads a part of the old */
async function replaceTable() {
  const url = table?.dataset.part;
  if (!table || !url || table.querySelector("details[open]")) return false;
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error("Step Functions does not answer.");
  const text = await answer.text();
  if (text === shown) return true;
  if (table.querySelector("details[open]")) return false;
  shown = text;
  const focused = table.contains(document.activeElement) ? document.activeElement : null;
  const same = focused && selectorOf(focused);
  const left = table.querySelector(".scroll")?.scrollLeft ?? 0;
  table.innerHTML = text;
  revive(table);
  document.dispatchEvent(new CustomEvent("part"));
  const scroll = /** @type {HTMLElement | null} */ (table.querySelector(".scroll"));
  if (scroll) scroll.scrollLeft = left;
  const again = (same && table.querySelector(same)) ?? (focused && scroll);
  if (again instanceof HTMLElement) again.focus({ preventScroll: true });
  return true;
}

/** @returns {Promise<boolean>} whether there will be more */
async function lookAtExecution() {
  if (!head?.dataset.liveUrl) return false;
  const graph = document.getElementById("graph") ? "?graph=1" : "";
  const answer = await fetch(head.dataset.liveUrl + graph, { headers: { Accept: "application/json" } });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  /** @type {Live} */
  const live = told;
  if (live.version !== head.dataset.version) {
    const open = head.querySelector("details")?.open ?? false;
    head.innerHTML = live.head;
    const details = head.querySelector("details");
    if (details) details.open = open;
    revive(head);
    document.dispatchEvent(new CustomEvent("live", { detail: live }));
    if (table && !(await replaceTable())) return true; // not shown yet: ask again
    head.dataset.version = live.version;
  }
  // The buttons of one that has ended are others.
  if (actions && !live.changing) actions.innerHTML = live.actions;
  return live.changing;
}

/** @returns {Promise<boolean>} */
async function lookAtList() {
  await replaceTable();
  // What is read bit by bit comes to an end.
  return table?.dataset.live !== "reading" || table.querySelector("[data-reading]") !== null;
}

/** @param {() => Promise<boolean>} look */
function keepLooking(look) {
  let wait = SECONDS * 1000;
  const again = async () => {
    if (document.hidden) {
      document.addEventListener("visibilitychange", () => void again(), { once: true });
      return;
    }
    const began = performance.now();
    let more = true;
    try {
      more = await look();
      tell(null);
      wait = Math.max(SECONDS * 1000, (performance.now() - began) / SHARE);
    } catch (error) {
      const reason = error instanceof TypeError ? "The console does not answer." : error instanceof Error ? error.message : "";
      tell(`${reason} Trying again.`);
      wait = Math.min(wait * 2, 30_000);
    }
    if (more) setTimeout(() => void again(), wait);
  };
  setTimeout(() => void again(), wait);
}

if (head && "changing" in head.dataset) keepLooking(lookAtExecution);
else if (table && "live" in table.dataset) keepLooking(lookAtList);
