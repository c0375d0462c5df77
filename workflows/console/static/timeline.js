// @ts-check
/** The timeline, on a canvas: what can be seen alone is drawn, so that thousands of bars are as smooth as ten. */
import { duration } from "./base.js";

/** @typedef {[start: number, end: number, status: string, label: string, visit: number | null]} Bar */
/** @typedef {{name: string, depth: number, bars: Bar[]}} Row */
/** @typedef {{rows: Row[], end: number, version: string, statuses: Record<string, string>}} Timeline */

const ROW = 24;
const LANE = 12;
const AXIS = 26;

const box = /** @type {HTMLElement} */ (document.getElementById("timeline"));
const line = /** @type {HTMLElement} */ (document.getElementById("bar"));
const canvas = document.createElement("canvas");
const room = document.createElement("div");
/** @type {Timeline | null} */
let shown = null;
let zoom = 1;
/** @type {{row: number, bar: number} | null} */
let chosen = null;

/** @param {string} name */
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** @param {Row} row */
const heightOf = (row) => (row.name ? ROW : LANE);

/** @returns {number} */
function nameWidth() {
  return Math.min(190, box.clientWidth * 0.34);
}

/** Milliseconds to pixels, within the drawing. */
function scale() {
  return ((box.clientWidth - nameWidth() - 12) * zoom) / Math.max(shown?.end ?? 1, 1);
}

function size() {
  if (!shown) return;
  const height = AXIS + shown.rows.reduce((sum, row) => sum + heightOf(row), 0) + 8;
  room.style.width = `${nameWidth() + shown.end * scale() + 12}px`;
  room.style.height = `${height}px`;
  const seen = Math.min(box.clientHeight || height, height);
  const ratio = devicePixelRatio || 1;
  canvas.style.width = `${box.clientWidth}px`;
  canvas.style.height = `${Math.max(seen, 1)}px`;
  canvas.width = Math.round(box.clientWidth * ratio);
  canvas.height = Math.round(Math.max(seen, 1) * ratio);
  paint();
}

function paint() {
  const context = canvas.getContext("2d");
  if (!context || !shown) return;
  const ratio = devicePixelRatio || 1;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const [width, height] = [canvas.width / ratio, canvas.height / ratio];
  const [left, top] = [box.scrollLeft, box.scrollTop];
  const [names, perMs] = [nameWidth(), scale()];
  /** @type {Record<string, string>} */
  const colours = {};
  for (const status of Object.keys(shown.statuses)) colours[status] = variable(`--${status}`);
  const [ink, soft, rule, card] = ["--ink", "--soft", "--line", "--card"].map(variable);
  context.fillStyle = card;
  context.fillRect(0, 0, width, height);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";

  const step = nice(90 / perMs);
  const ticks = [];
  for (let at = Math.floor(left / perMs / step) * step; at <= shown.end + step; at += step) {
    const x = Math.round(names + at * perMs - left) + 0.5;
    if (x > width) break;
    if (x >= names - 1) ticks.push({ at, x });
  }
  context.fillStyle = rule;
  for (const { x } of ticks) context.fillRect(x, AXIS - 4, 1, height);

  let y = AXIS - top;
  shown.rows.forEach((row, index) => {
    const tall = heightOf(row);
    if (y + tall > AXIS && y < height) {
      row.bars.forEach(([start, end, status], at) => {
        const from = names + start * perMs - left;
        const to = Math.max(names + end * perMs - left, from + 1.5);
        if (to < names || from > width) return;
        context.fillStyle = colours[status] ?? soft;
        const begin = Math.max(from, names);
        context.fillRect(begin, y + (row.name ? 5 : 1.5), Math.max(to - begin - (row.name ? 0 : 0.5), 1), tall - (row.name ? 10 : 3));
        if (chosen?.row === index && chosen.bar === at) {
          context.strokeStyle = ink;
          context.lineWidth = 2;
          context.strokeRect(begin - 1, y + (row.name ? 4 : 0.5), to - begin + 2, tall - (row.name ? 8 : 1));
        }
      });
    }
    y += tall;
  });

  // The names stand still over the bars, and the axis over both.
  context.fillStyle = card;
  context.fillRect(0, 0, names - 4, height);
  y = AXIS - top;
  context.fillStyle = ink;
  for (const row of shown.rows) {
    if (row.name && y + ROW > AXIS && y < height) context.fillText(fitted(context, row.name, names - 22 - row.depth * 12), 12 + row.depth * 12, y + ROW / 2);
    y += heightOf(row);
  }
  context.fillStyle = card;
  context.fillRect(0, 0, width, AXIS - 2);
  context.fillStyle = soft;
  for (const { at, x } of ticks) context.fillText(at === 0 ? "0" : duration(at), x + 3, AXIS / 2);
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} width */
function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
  return `${text.slice(0, length)}…`;
}

/** @param {number} least @returns {number} */
function nice(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least) ?? 10 * power;
}

/** @param {MouseEvent} event @returns {{row: number, bar: number} | null} */
function under(event) {
  if (!shown) return null;
  const place = canvas.getBoundingClientRect();
  const at = (event.clientX - place.left - nameWidth() + box.scrollLeft) / scale();
  let y = AXIS - box.scrollTop;
  for (let row = 0; row < shown.rows.length; row += 1) {
    const tall = heightOf(shown.rows[row]);
    const inside = event.clientY - place.top;
    if (inside >= y && inside < y + tall) {
      const slack = 2 / scale();
      const bar = shown.rows[row].bars.findIndex(([start, end]) => at >= start - slack && at <= end + slack);
      return bar < 0 ? null : { row, bar };
    }
    y += tall;
  }
  return null;
}

/** @param {{row: number, bar: number} | null} at */
function tell(at) {
  const bar = at && shown?.rows[at.row].bars[at.bar];
  if (!bar || !shown) {
    line.textContent = "\u00a0";
    return;
  }
  const [start, end, status, label] = bar;
  line.textContent = `${label}: ${shown.statuses[status]}, after ${duration(start)}, took ${duration(end - start)}`;
}

/** @param {{row: number, bar: number}} at */
function openBar({ row, bar }) {
  const visit = shown?.rows[row].bars[bar]?.[4];
  if (visit) location.href = (box.dataset.steps ?? "").replace(/0$/, String(visit));
}

canvas.addEventListener("mousemove", (event) => {
  const found = under(event);
  canvas.style.cursor = found ? "pointer" : "default";
  tell(found ?? chosen);
});
canvas.addEventListener("mouseleave", () => tell(chosen));
canvas.addEventListener("click", (event) => {
  const found = under(event);
  if (found) openBar(found);
});
box.addEventListener("scroll", paint);
box.addEventListener("keydown", (event) => {
  if (!shown?.rows.length) return;
  const { row, bar } = chosen ?? { row: 0, bar: -1 };
  if (event.key === "Enter" && chosen) return openBar(chosen);
  let next = { row, bar };
  if (event.key === "ArrowDown") next = { row: Math.min(row + 1, shown.rows.length - 1), bar: 0 };
  else if (event.key === "ArrowUp") next = { row: Math.max(row - 1, 0), bar: 0 };
  else if (event.key === "ArrowRight") next.bar = Math.min(bar + 1, shown.rows[row].bars.length - 1);
  else if (event.key === "ArrowLeft") next.bar = Math.max(bar - 1, 0);
  else return;
  event.preventDefault();
  if (next.bar < 0) next.bar = 0;
  chosen = next;
  show(next);
  tell(next);
  paint();
});

/** Scroll to a bar. @param {{row: number, bar: number}} at */
function show({ row, bar }) {
  if (!shown) return;
  const above = shown.rows.slice(0, row).reduce((sum, each) => sum + heightOf(each), 0);
  if (above < box.scrollTop) box.scrollTop = above;
  else if (above + AXIS + 2 * ROW > box.scrollTop + box.clientHeight) box.scrollTop = above + AXIS + 2 * ROW - box.clientHeight;
  const start = shown.rows[row].bars[bar][0] * scale();
  const seen = box.clientWidth - nameWidth();
  if (start < box.scrollLeft || start > box.scrollLeft + seen - 20) box.scrollLeft = Math.max(start - seen / 2, 0);
}

/** @param {number} next */
function zoomTo(next) {
  const middle = (box.scrollLeft + (box.clientWidth - nameWidth()) / 2) / scale();
  zoom = Math.min(Math.max(next, 1), 4096);
  size();
  box.scrollLeft = Math.max(middle * scale() - (box.clientWidth - nameWidth()) / 2, 0);
  paint();
}

document.getElementById("zoom-in")?.addEventListener("click", () => zoomTo(zoom * 2));
document.getElementById("zoom-out")?.addEventListener("click", () => zoomTo(zoom / 2));
document.getElementById("zoom-fit")?.addEventListener("click", () => zoomTo(1));
document.addEventListener("theme", paint);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
new ResizeObserver(size).observe(box);

/** @param {string} text @param {string} kind */
function message(text, kind) {
  const paragraph = document.createElement("p");
  paragraph.className = kind;
  paragraph.textContent = text;
  box.replaceChildren(paragraph);
}

async function read() {
  const answer = await fetch(box.dataset.timeline ?? "", { headers: { Accept: "application/json" } });
  const told = await answer.json();
  if (!answer.ok) return message(told.error, "told error");
  shown = told;
  if (!told.rows.length) return message("No state has been entered yet.", "empty");
  if (!room.isConnected) {
    box.replaceChildren(room);
    room.append(canvas);
  }
  size();
}

document.addEventListener("live", () => void read());
void read();
