/* "Quota resets every": the number of seconds is asked for a custom period only, the day for a calendar month only. */
(() => {
  const show = (widget) => {
    const chosen = widget.querySelector("select").value;
    widget.querySelectorAll("[data-shown-for]").forEach((part) => { part.hidden = part.dataset.shownFor !== chosen; });
  };
  const showAll = (root) => root.querySelectorAll("[data-renewal]").forEach(show);

  document.addEventListener("change", (event) => {
    const widget = event.target.closest("[data-renewal]");
    if (widget) show(widget);
  });
  document.addEventListener("formset:added", (event) => showAll(event.target));
  document.addEventListener("DOMContentLoaded", () => showAll(document));
})();
