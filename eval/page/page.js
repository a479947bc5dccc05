"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Legend: a method's series are shown or not, in all plots.
all(".legend button").forEach((button) =>
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    all(`.legend button[data-method="${button.dataset.method}"]`).forEach((b) => b.setAttribute("aria-pressed", shown));
    all(`.series[data-method="${button.dataset.method}"]`).forEach((series) => series.toggleAttribute("hidden", !shown));
  }),
);

// Which score the plots show.
const showScore = (score) => {
  all("[data-score]").forEach((figure) => (figure.hidden = figure.dataset.score !== score));
  all("button[data-choose]").forEach((b) => b.setAttribute("aria-pressed", b.dataset.choose === score));
};
all("button[data-choose]").forEach((button) => button.addEventListener("click", () => showScore(button.dataset.choose)));
const firstScore = document.querySelector("button[data-choose]");
if (firstScore) showScore(firstScore.dataset.choose);

// The slider takes its pictures from the strips below.
const viewer = document.querySelector(".viewer");
if (viewer) {
  const [frame, left, right] = all("select", viewer);
  const [under, over] = all(".stage img", viewer);
  const stage = viewer.querySelector(".stage");
  const update = () => {
    const strip = document.getElementById(frame.value);
    const picture = (layer) => all("img[data-layer]", strip).find((image) => image.dataset.layer === layer);
    for (const [image, select, side] of [[over, left, 0], [under, right, 1]]) {
      // Not every frame has a keyframe on either side.
      if (!picture(select.value)) select.value = "true frame";
      image.src = picture(select.value).src;
      image.alt = select.value;
      all(".sides span", viewer)[side].textContent = select.value;
    }
  };
  [frame, left, right].forEach((select) => select.addEventListener("change", update));
  stage.querySelector("input").addEventListener("input", (event) => stage.style.setProperty("--at", `${event.target.value}%`));
  all("button[data-view]").forEach((button) =>
    button.addEventListener("click", () => {
      frame.value = button.dataset.view;
      update();
      viewer.scrollIntoView({ behavior: "smooth", block: "start" });
    }),
  );
  update();
}

// Films: every layer shows the same frame.
all(".film").forEach((film) => {
  const frames = JSON.parse(film.querySelector("script").textContent);
  const range = film.querySelector("input"), button = film.querySelector("button");
  let timer = null;
  const show = (index) => {
    range.value = index;
    all("img", film).forEach((image, layer) => (image.src = frames[layer][index]));
  };
  const stop = () => { clearInterval(timer); timer = null; button.textContent = "▶ play"; };
  const play = () => {
    timer = setInterval(() => show((Number(range.value) + 1) % frames[0].length), 1000 / Number(film.dataset.fps));
    button.textContent = "❚❚ pause";
  };
  button.addEventListener("click", () => (timer ? stop() : play()));
  range.addEventListener("input", () => { stop(); show(Number(range.value)); });
});
