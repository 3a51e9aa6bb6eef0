"use strict";
const cards = [...document.querySelectorAll(".card")];
const viewer = document.getElementById("viewer");
const stage = viewer.querySelector(".stage");
let current = -1;

function show(index) {
  current = Math.max(0, Math.min(cards.length - 1, index));
  const card = cards[current];
  card.closest("details")?.setAttribute("open", "");
  stage.replaceChildren(...[...card.children].map((child) => child.cloneNode(true)));
  const image = stage.querySelector(".image");
  const [width, height] = image.style.aspectRatio.split("/").map(Number);
  image.style.width = `min(100%, ${(62 * width) / height}vh)`;
  viewer.setAttribute("aria-label", card.innerText.replace(/\s+/g, " ").trim());
  if (!viewer.open) viewer.showModal();
}

function columnsOf(card) {
  const siblings = [...card.closest(".cards").querySelectorAll(".card")];
  const top = siblings[0].getBoundingClientRect().top;
  return siblings.filter((each) => each.getBoundingClientRect().top === top).length;
}

cards.forEach((card, index) => card.addEventListener("click", () => show(index)));
viewer.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.step) show(current + Number(button.dataset.step));
  if (button?.hasAttribute("data-close") || event.target === viewer) viewer.close();
});
viewer.addEventListener("close", () => cards[current]?.focus());
document.addEventListener("keydown", (event) => {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 0, ArrowUp: 0, j: 1, k: -1 };
  if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
  const place = viewer.open ? current : cards.indexOf(document.activeElement);
  if (place < 0) return;
  event.preventDefault();
  const row = viewer.open ? 1 : columnsOf(cards[place]);
  const step = steps[event.key] || (event.key === "ArrowDown" ? row : -row);
  if (viewer.open) show(place + step);
  else cards[Math.max(0, Math.min(cards.length - 1, place + step))].focus();
});
addEventListener("beforeprint", () => document.querySelectorAll("section > details").forEach((each) => (each.open = true)));
