"use strict";
// A column's heading sorts its table: upwards, downwards, and back to the order of the spec. Gaps stay last.
const NEXT = { none: "ascending", ascending: "descending", descending: "none" };
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const order = NEXT[heading.getAttribute("aria-sort")];
      for (const other of headings) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", order);
      const sign = order === "descending" ? -1 : 1;
      const value = (row) => row.cells[column].dataset.value;
      const compare = (one, two) => {
        const [a, b] = [value(one), value(two)];
        if (a !== undefined && b !== undefined) return sign * (Number(a) - Number(b));
        if (a !== undefined || b !== undefined) return a === undefined ? 1 : -1;
        return sign * one.cells[column].textContent.localeCompare(two.cells[column].textContent);
      };
      body.append(...(order === "none" ? original : [...original].sort(compare)));
    });
  });
}

// One clock moves every clip: the gallery's --frame is read by all of them, so they cannot fall out of step.
const gallery = document.getElementById("gallery");
if (gallery) {
  const FRAMES_PER_SECOND = 8;
  const frames = Number(gallery.dataset.frames);
  const button = document.getElementById("play");
  const slider = document.getElementById("frame");
  const shown = document.getElementById("shown");
  let frame = 0;
  let timer = null;

  const show = (value) => {
    frame = (value + frames) % frames;
    gallery.style.setProperty("--frame", frame);
    slider.value = frame;
    shown.textContent = `frame ${frame + 1} of ${frames}`;
  };
  const pause = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "▶ Play";
  };
  const play = () => {
    timer = setInterval(() => show(frame + 1), 1000 / FRAMES_PER_SECOND);
    button.textContent = "❚❚ Pause";
  };
  const toggle = () => (timer === null ? play() : pause());
  const choose = (seed) => {
    for (const block of gallery.querySelectorAll("[data-seed]")) block.hidden = block.dataset.seed !== seed;
  };

  button.addEventListener("click", toggle);
  slider.addEventListener("input", () => {
    pause();
    show(Number(slider.value));
  });
  for (const radio of gallery.querySelectorAll("input[name=seed]")) {
    radio.addEventListener("change", () => choose(radio.value));
    if (radio.checked) choose(radio.value);
  }
  document.addEventListener("keydown", (event) => {
    if (event.target !== document.body || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "k") toggle();
    else if (event.key === "," || event.key === ".") {
      pause();
      show(frame + (event.key === "." ? 1 : -1));
    } else return;
    event.preventDefault();
  });
  gallery.querySelector(".controls").hidden = false;
  show(0);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();
}
