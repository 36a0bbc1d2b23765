/* Limits of an access right are shown only while "own limits" is switched on. */
(() => {
  const show = (box) => {
    const row = box.closest(".form-group");
    const limits = row && row.querySelector(".own-limits");
    if (limits) limits.hidden = !box.checked;
  };
  const isSwitch = (element) => element instanceof HTMLInputElement && element.name.endsWith("-has_limit");
  const showAll = (root) => root.querySelectorAll('input[name$="-has_limit"]').forEach(show);

  document.addEventListener("change", (event) => isSwitch(event.target) && show(event.target));
  document.addEventListener("formset:added", (event) => showAll(event.target));
  document.addEventListener("DOMContentLoaded", () => showAll(document));
})();
