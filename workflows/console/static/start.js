// @ts-check
/** The form that starts a calculation: a file is read into the text, and a fault leads to its line. */

const text = /** @type {HTMLTextAreaElement} */ (document.getElementById("request"));
const file = /** @type {HTMLInputElement} */ (document.getElementById("file"));

file.addEventListener("change", async () => {
  const chosen = file.files?.[0];
  // A large one is sent as it is: a text field of that length would hold the page up.
  if (!chosen || chosen.size > 1_000_000) return;
  text.value = await chosen.text();
  file.value = "";
});

for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("button[data-line]"))) {
  button.addEventListener("click", () => {
    const lines = text.value.split("\n");
    const number = Math.min(Number(button.dataset.line), lines.length);
    const start = lines.slice(0, number - 1).reduce((sum, each) => sum + each.length + 1, 0);
    text.focus();
    text.setSelectionRange(start, start + lines[number - 1].length);
    text.scrollTop = (number - 4) * (text.scrollHeight / lines.length);
  });
}

document.getElementById("faults")?.focus();
