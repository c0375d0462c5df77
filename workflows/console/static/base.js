// @ts-check
/** What every page has: the theme switch, copying, forms that send themselves, running times. */

/** @returns {"light" | "dark"} */
function theme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === "light" || chosen === "dark") return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

const themeButton = /** @type {HTMLButtonElement | null} */ (document.getElementById("theme"));
if (themeButton) {
  themeButton.hidden = false;
  themeButton.addEventListener("click", () => {
    const next = theme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    document.cookie = `perfcalc_theme=${next}; path=/; max-age=31536000; samesite=strict`;
    document.dispatchEvent(new CustomEvent("theme"));
  });
}

for (const form of document.querySelectorAll("form[data-submit-on-change]")) {
  form.addEventListener("change", (event) => {
    if (event.target instanceof HTMLSelectElement) /** @type {HTMLFormElement} */ (form).requestSubmit();
  });
}

/**
 * Give the parts of a page that was loaded or replaced what they need a script for.
 * @param {ParentNode} root
 */
export function revive(root) {
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (root.querySelectorAll("button[data-copy]"))) {
    button.hidden = !navigator.clipboard;
    button.onclick = async () => {
      const text = button.closest("section")?.querySelector("pre")?.textContent ?? "";
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not allowed";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    };
  }
  for (const details of /** @type {NodeListOf<HTMLDetailsElement>} */ (root.querySelectorAll("details[data-fill]"))) {
    details.ontoggle = async () => {
      const url = details.dataset.fill;
      const place = details.querySelector("div");
      if (!details.open || !url || !place) return;
      delete details.dataset.fill;
      place.innerHTML = await part(url);
    };
  }
  tick(root);
}

/**
 * Return a part of a page; of an error, its message. What the server renders is escaped there.
 * @param {string} url
 * @returns {Promise<string>}
 */
export async function part(url) {
  try {
    const answer = await fetch(url, { headers: { Accept: "text/html" } });
    if (answer.ok) return await answer.text();
    const told = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main p");
    return failure(told?.textContent ?? "This could not be read.");
  } catch {
    return failure("The console does not answer: has it been stopped?");
  }
}

/** @param {string} message */
function failure(message) {
  const paragraph = document.createElement("p");
  paragraph.className = "told error";
  paragraph.textContent = message;
  return paragraph.outerHTML;
}

/**
 * @param {number} milliseconds
 * @returns {string}
 */
export function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** @param {ParentNode} root */
function tick(root) {
  for (const span of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-since]"))) {
    span.textContent = duration(Math.max(Date.now() - Date.parse(span.dataset.since ?? ""), 0));
  }
}

revive(document);
setInterval(() => { if (!document.hidden) tick(document); }, 1000);
