// @ts-check
/** What is chosen to be compared: counted as it changes, kept in the address, and by the list when it is read anew. */

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("choice"));
const table = form?.querySelector("[data-part]");
const elsewhere = document.getElementById("elsewhere");
const told = document.getElementById("chosen");
const compare = /** @type {HTMLButtonElement | null | undefined} */ (form?.querySelector("button[formaction]"));
/** @type {Set<string>} */
let chosen = new Set();

/**
 * @param {ParentNode | null | undefined} root
 * @returns {HTMLInputElement[]}
 */
function boxes(root) {
  return [...(root?.querySelectorAll('input[name="entity"]') ?? [])].map((each) => /** @type {HTMLInputElement} */ (each));
}

function count() {
  chosen = new Set(boxes(form).filter((box) => box.checked).map((box) => box.value));
  if (told) told.textContent = `${chosen.size} chosen`;
  if (compare) compare.disabled = chosen.size < 2 || chosen.size > Number(form?.dataset.most);
}

/** Whoever comes back from a comparison, or loads the page again, finds the same chosen. */
function keepInAddress() {
  const address = new URL(location.href);
  address.searchParams.delete("entity");
  for (const value of chosen) address.searchParams.append("entity", value);
  history.replaceState(history.state, "", address);
}

/** The list may have moved on: what was chosen in it and has gone to another page stands below it. */
function settle() {
  const listed = new Map(boxes(table).map((box) => [box.value, box]));
  for (const [value, box] of listed) box.checked = chosen.has(value);
  for (const box of boxes(elsewhere)) if (listed.has(box.value)) box.closest("li")?.remove();
  const below = new Set(boxes(elsewhere).map((box) => box.value));
  for (const value of chosen) if (!listed.has(value) && !below.has(value)) elsewhere?.append(itemOf(value));
  count();
}

/**
 * @param {string} value
 * @returns {HTMLLIElement}
 */
function itemOf(value) {
  const [item, label, box] = [document.createElement("li"), document.createElement("label"), document.createElement("input")];
  label.className = "button";
  Object.assign(box, { type: "checkbox", name: "entity", value, checked: true });
  label.append(box, ` ${value.replace("/", " ")}`);
  item.append(label);
  return item;
}

form?.addEventListener("change", () => { count(); keepInAddress(); });
document.addEventListener("part", settle);
// A browser that comes back to a page may tick what was ticked when it was left.
window.addEventListener("pageshow", count);
count();
