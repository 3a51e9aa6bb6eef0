// Pictures in, numbers out; every reading can be corrected by keyboard and saved as COCO labels.

const CATEGORIES = [..."0123456789"].map((name, id) => ({ id, name, supercategory: "digit" }));
const AT_ONCE = 4; // requests under way
const MOST_TRIES = 20; // of a picture that the service is too busy for
const STEP = 0.02; // of the picture's height: what one key moves a box by

const $ = (id) => document.getElementById(id);
const items = []; // {name, url, file, index, row, status, read, digits, confirmed, unsaved, size}
let current = -1; // which picture is shown
let chosen = 0; // which of its digits
let labelling = false; // whether the service has a folder to label

const textOf = (digits) => digits.map((digit) => digit.text).join("");
const percent = (share) => `${(100 * share).toFixed(share > 0.995 ? 1 : 0)} %`;

function say(text, bad = false) {
  $("state").textContent = text;
  $("state").classList.toggle("bad", bad);
}

// --- pictures come in ---

function unusedName(name) {
  const dot = name.includes(".") ? name.lastIndexOf(".") : name.length;
  let unused = name;
  for (let number = 2; items.some((item) => item.name === unused); number++) unused = `${name.slice(0, dot)}-${number}${name.slice(dot)}`;
  return unused; // a telephone calls every photograph image.jpg
}

function addFiles(files) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/") || /\.(jpe?g|png|webp|bmp|gif|tiff?|avif|jp2)$/i.test(file.name));
  if (!pictures.length) return say("There is no picture among them.", true);
  for (const file of pictures) {
    items.push({ name: unusedName(file.webkitRelativePath || file.name || "pasted"), file, url: URL.createObjectURL(file), status: "waiting" });
  }
  $("work").hidden = false;
  if (current < 0) show(items.length - pictures.length);
  drawList();
  readWaiting();
}

let reading = false;
async function readWaiting() {
  if (reading) return;
  reading = true;
  await Promise.all(Array.from({ length: AT_ONCE }, readOnes));
  reading = false;
  $("progress").hidden = true;
  const failed = items.filter((item) => item.status === "failed").length;
  say(`${items.length - failed} read${failed ? `, ${failed} cannot be read` : ""}.`, failed > 0);
}

async function readOnes() {
  for (let item; (item = items.find((each) => each.status === "waiting")); ) {
    item.status = "reading";
    await readOne(item);
    const done = items.filter((each) => !["waiting", "reading"].includes(each.status)).length;
    $("progress").hidden = items.length < 2;
    $("progress").max = items.length;
    $("progress").value = done;
    say(`${done} of ${items.length} read.`);
    drawList();
    if (items[current] === item) show(current);
  }
}

let key = {}; // the header that the service asks for, if it does

function askKey(wrong) {
  if (key["X-API-Key"] === wrong) {
    const given = window.prompt(wrong ? "That key is wrong. The key of this service:" : "The key of this service:");
    if (given === null) return false;
    key = { "X-API-Key": given };
  }
  return true; // another picture's question was answered meanwhile
}

async function readOne(item) {
  try {
    const headers = { "Content-Type": item.file.type || "application/octet-stream", ...key };
    const answer = await fetch("v1/read", { method: "POST", body: item.file, headers });
    if (answer.status === 401 && askKey(headers["X-API-Key"])) {
      item.status = "waiting";
      return;
    }
    item.tries = 1 + (item.tries ?? 0);
    if (answer.status === 503 && item.tries < MOST_TRIES) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * Number(answer.headers.get("Retry-After") || 1)));
      item.status = "waiting";
      return;
    }
    const told = await answer.json();
    if (!answer.ok) throw new Error(typeof told.detail === "string" ? told.detail : answer.statusText);
    $("model").textContent = `model: ${told.model}`;
    take(item, told.images[0].numbers[0]);
  } catch (error) {
    item.status = "failed";
    item.error = error.message;
  }
}

function take(item, read) {
  item.status = "read";
  item.read = read ?? { number: null, probability: 0, digits: [], explanation: "no number was seen" };
  item.digits = structuredClone(item.read.digits);
}

// --- what is seen ---

// A row stays where it is: one that is replaced would lose the focus, or a click that has begun.
function drawList() {
  for (const [index, item] of items.entries()) {
    item.row ??= $("list").appendChild(newRow(item, index));
    const [name, number, sure] = item.row.firstChild.children;
    const state = item.confirmed ? "✓" : item.unsaved ? "edited" : item.read ? percent(item.read.probability) : "";
    name.textContent = item.name;
    number.textContent = item.digits ? textOf(item.digits) || "–" : "";
    sure.textContent = item.status === "failed" ? "failed" : state;
    item.row.firstChild.setAttribute("aria-current", String(index === current));
  }
}

function newRow(item, index) {
  const button = document.createElement("button");
  button.type = "button";
  button.title = item.name;
  for (const kind of ["name", "number", "sure"]) {
    button.appendChild(document.createElement("span")).className = kind;
  }
  onClick(button, () => show(index));
  const row = document.createElement("li");
  row.append(button);
  return row;
}

// After a click of the mouse, Enter is for the picture again, not for the button.
function onClick(button, act) {
  button.addEventListener("click", (event) => {
    if (event.detail > 0) button.blur();
    act();
  });
}

function show(index) {
  if (index < 0 || index >= items.length) return;
  const moved = index !== current;
  current = index;
  if (moved) chosen = 0;
  const item = items[index];
  if ($("image").src !== new URL(item.url, document.baseURI).href) $("image").src = item.url;
  $("image").alt = `Picture ${item.name}`;
  draw();
  for (const [place, row] of [...$("list").children].entries()) {
    row.firstChild.setAttribute("aria-current", String(place === index));
    if (place === index && moved) row.scrollIntoView({ block: "nearest" });
  }
}

function draw() {
  const item = items[current];
  const digits = item?.digits ?? [];
  chosen = Math.max(0, Math.min(chosen, digits.length - 1));
  $("number").value = textOf(digits) || (item?.status === "read" ? "none" : "");
  const changed = item?.read && (textOf(digits) !== textOf(item.read.digits) || item.confirmed);
  $("sure").value = item?.read ? (changed ? "corrected by you" : `${percent(item.read.probability)} sure`) : "";
  $("explanation").textContent = item?.error ?? item?.read?.explanation ?? "waiting";
  drawBoxes(digits);
  $("digits").tBodies[0].replaceChildren(
    ...digits.map((digit, index) => {
      const row = document.createElement("tr");
      row.classList.toggle("chosen", index === chosen);
      const others = (digit.alternatives ?? []).slice(0, 3).map(([text, score]) => `${text} ${percent(score)}`);
      for (const text of [digit.text, digit.probability === undefined ? "yours" : percent(digit.probability), others.join(", ")]) {
        row.insertCell().textContent = text;
      }
      return row;
    }),
  );
}

function drawBoxes(digits) {
  const [width, height] = [$("image").naturalWidth || 1, $("image").naturalHeight || 1];
  $("boxes").setAttribute("viewBox", `0 0 ${width} ${height}`);
  $("boxes").replaceChildren(
    ...digits.map((digit, index) => {
      const group = document.createElementNS("http://www.w3.org/2000/svg", "g");
      const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const [x1, y1, x2, y2] = digit.box;
      for (const [name, value] of Object.entries({ x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) })) {
        box.setAttribute(name, value);
      }
      group.setAttribute("role", "img");
      group.setAttribute("aria-label", `digit ${digit.text}`);
      group.classList.toggle("chosen", index === chosen);
      group.addEventListener("click", () => choose(index));
      group.append(box);
      return group;
    }),
  );
}

function choose(index) {
  chosen = index;
  draw();
}

// --- corrections ---

function change(edit) {
  const item = items[current];
  if (item?.status !== "read") return;
  edit(item);
  item.confirmed = false;
  item.unsaved = true;
  draw();
  drawList();
}

function addDigit() {
  change((item) => {
    const [width, height] = [$("image").naturalWidth, $("image").naturalHeight];
    const before = item.digits[chosen];
    const size = before ? [before.box[2] - before.box[0], before.box[3] - before.box[1]] : [height / 4, height / 2];
    const left = before ? Math.min(before.box[2], width - size[0]) : (width - size[0]) / 2;
    const top = before ? before.box[1] : (height - size[1]) / 2;
    item.digits.splice(before ? chosen + 1 : 0, 0, { text: "0", box: [left, top, left + size[0], top + size[1]] });
    chosen = before ? chosen + 1 : 0;
  });
}

const clearDigits = () => change((item) => (item.digits = []));
const undo = () => change((item) => (item.digits = structuredClone(item.read.digits)));

function moveBox(dx, dy, grow) {
  change((item) => {
    const digit = item.digits[chosen];
    if (!digit) return;
    const [width, height] = [$("image").naturalWidth, $("image").naturalHeight];
    const step = Math.max(1, STEP * height);
    let [x1, y1, x2, y2] = digit.box;
    if (grow) [x2, y2] = [Math.max(x1 + 1, x2 + dx * step), Math.max(y1 + 1, y2 + dy * step)];
    const inside = (value, most) => Math.min(Math.max(value, 0), most);
    if (!grow) {
      [dx, dy] = [inside(x1 + dx * step, width - (x2 - x1)) - x1, inside(y1 + dy * step, height - (y2 - y1)) - y1];
      [x1, x2, y1, y2] = [x1 + dx, x2 + dx, y1 + dy, y2 + dy];
    }
    digit.box = [inside(x1, width - 1), inside(y1, height - 1), inside(x2, width), inside(y2, height)];
  });
}

let confirming = false; // one at a time
const queued = []; // keys that came meanwhile

async function confirm() {
  await confirmShown();
  while (queued.length && !confirming) press(queued.shift());
}

async function confirmShown() {
  const index = current;
  const item = items[index];
  if (item?.status !== "read" || confirming) return;
  confirming = true;
  try {
    await $("image").decode().catch(() => null); // its size is known then
    if (current !== index) return;
    item.size = [$("image").naturalWidth, $("image").naturalHeight];
    if (!item.size[0]) return say("The browser cannot show this picture, so nobody can label it here.", true);
    item.confirmed = true;
    item.unsaved = true;
    if (labelling && !(await keep(item))) return;
    item.unsaved = !labelling;
  } finally {
    confirming = false;
  }
  drawList();
  draw();
  if (current !== index) return;
  if (index + 1 < items.length) show(index + 1);
  else say(`${items.filter((each) => each.confirmed).length} of ${items.length} are confirmed.`);
}

const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || current < 0) return;
  const onControl = event.target.closest("button, input:not([readonly]), summary, label");
  const isOurs = /^(Arrow(Left|Right|Up|Down)|[0-9nxu]|Delete|Backspace)$/.test(event.key) || (event.key === "Enter" && !onControl);
  if (!isOurs) return;
  event.preventDefault();
  if (confirming) queued.push(event);
  else press(event);
});

function press(event) {
  const direction = DIRECTIONS[event.key];
  if (direction) {
    if (event.shiftKey || event.altKey) moveBox(...direction, event.altKey);
    else if (direction[0]) choose(chosen + direction[0]);
    else show(current + direction[1]);
  } else if (event.key === "Enter") confirm();
  else if (/^[0-9]$/.test(event.key)) {
    change((item) => {
      if (!item.digits.length) return;
      const digit = item.digits[chosen];
      Object.assign(digit, { text: event.key, probability: undefined, alternatives: [] });
    });
  } else if (event.key === "n") addDigit();
  else if (event.key === "x") clearDigits();
  else if (event.key === "u") undo();
  else change((item) => item.digits.splice(chosen, 1));
}

window.addEventListener("beforeunload", (event) => {
  if (items.some((item) => item.unsaved)) event.preventDefault();
});

// --- results go out ---

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function quoted(value) {
  const text = String(value ?? "");
  const safe = /^[=+@\t\r-]/.test(text) ? `'${text}` : text; // a spreadsheet would compute it
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function saveCsv() {
  const rows = items.map((item) =>
    [item.name, textOf(item.digits ?? []), item.read?.probability ?? "", item.confirmed ? "yes" : "no", item.error ?? ""].map(quoted).join(","),
  );
  for (const item of items) item.unsaved = false;
  drawList();
  save("numbers.csv", "text/csv", ["image,number,probability,confirmed,error", ...rows, ""].join("\n"));
}

function saveCoco() {
  const confirmed = items.filter((item) => item.confirmed);
  if (!confirmed.length) return say("Confirm a picture first: Enter.", true);
  const images = confirmed.map((item, index) => ({ id: index + 1, file_name: item.name, width: item.size[0], height: item.size[1] }));
  const annotations = confirmed.flatMap((item, index) => item.digits.map((digit) => [index + 1, digit]));
  const labels = {
    images,
    annotations: annotations.map(([image_id, { text, box: [x1, y1, x2, y2] }], index) => ({
      id: index + 1, image_id, category_id: Number(text), bbox: [x1, y1, x2 - x1, y2 - y1], area: (x2 - x1) * (y2 - y1), iscrowd: 0,
    })),
    categories: CATEGORIES,
  };
  save("train.json", "application/json", JSON.stringify(labels, null, 1));
  for (const item of confirmed) item.unsaved = false;
  const left = items.filter((item) => item.unsaved).length;
  if (left) say(`${left} that you corrected ${left > 1 ? "are" : "is"} not confirmed, and not among the labels.`, true);
}

// --- a folder on the service's side: `digitspot label` ---

async function openFolder() {
  const answer = await fetch("v1/folder");
  if (!answer.ok) return;
  const told = await answer.json();
  if (!told.images.length) return;
  labelling = true;
  $("drop").hidden = true;
  $("coco").hidden = true;
  $("model").textContent = `model: ${told.model}; labels go to ${told.output}`;
  for (const { index, name, read, digits, confirmed } of told.images) {
    const item = { index, name, url: `v1/folder/${index}/image` };
    take(item, read);
    if (confirmed) Object.assign(item, { digits, confirmed });
    items.push(item);
  }
  $("work").hidden = false;
  drawList();
  show(Math.max(0, items.findIndex((item) => !item.confirmed)));
  say(`${items.length} pictures, the least certain first.`);
}

async function keep(item) {
  const body = JSON.stringify({ digits: item.digits.map(({ text, box }) => ({ text, box })) });
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(`v1/folder/${item.index}/labels`, { method: "PUT", body, headers }).catch(() => null);
  if (!answer?.ok) {
    item.confirmed = false;
    const detail = await answer?.json().then((told) => told.detail, () => null);
    say(`The labels could not be saved${typeof detail === "string" ? `: ${detail}` : "."}`, true);
  }
  return answer?.ok;
}

for (const id of ["files", "folder", "camera"]) {
  $(id).addEventListener("change", (event) => {
    addFiles(event.target.files);
    event.target.value = "";
  });
}
for (const [id, act] of Object.entries({ confirm, add: addDigit, clear: clearDigits, undo, csv: saveCsv, coco: saveCoco })) {
  onClick($(id), act);
}
$("image").addEventListener("load", draw);
document.addEventListener("paste", (event) => event.clipboardData.files.length && addFiles(event.clipboardData.files));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") addFiles(event.dataTransfer.files);
  });
}
openFolder();
