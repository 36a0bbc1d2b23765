/* "Read all" and "Write all" tick their column; once all are ticked they untick it. */
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-tick]");
  if (!button) return;
  const boxes = [...button.closest("table").querySelectorAll(`input[value$=":${button.dataset.tick}"]`)];
  const wanted = boxes.some((box) => !box.checked);
  boxes.forEach((box) => { box.checked = wanted; });
});
