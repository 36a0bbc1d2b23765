/* What the admin's theme and its widgets leave unsaid to screen readers: fields that search as one types are named by
   their labels, and the hints of Django's two-list fields are pictures with a text. */
(() => {
  const name = (container) => {
    const select = container.previousElementSibling;
    const label = select?.labels?.[0]?.textContent.trim() || select?.getAttribute("aria-label");
    if (!label) return;
    const shown = container.querySelector(".select2-selection__rendered");
    const text = label.replace(/\*$/, "");
    container.querySelector(".select2-selection")?.setAttribute("aria-label", text);
    container.querySelector(".select2-selection")?.removeAttribute("aria-labelledby");
    if (shown?.getAttribute("role") === "textbox") shown.setAttribute("aria-label", `${text}: ${shown.title || "nothing chosen"}`);
  };
  const mend = () => {
    document.querySelectorAll(".select2-container--admin-autocomplete, .select2-container--default").forEach((each) => {
      if (each.previousElementSibling?.tagName === "SELECT") name(each);
    });
    document.querySelectorAll("span.help-tooltip[aria-label]:not([role])").forEach((each) => each.setAttribute("role", "img"));
  };
  let waiting;
  const later = () => { clearTimeout(waiting); waiting = setTimeout(mend, 50); };
  document.addEventListener("DOMContentLoaded", () => {
    mend();
    new MutationObserver(later).observe(document.body, { childList: true, subtree: true });
  });
})();
