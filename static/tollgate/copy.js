/* The page of a secret answers a POST: to load it again goes where its last button leads, and makes no second secret. */
document.addEventListener("DOMContentLoaded", () => {
  const next = document.querySelector("#shown-once .tg-buttons a:last-child");
  if (next) history.replaceState(null, "", next.href);
});

/* A button with data-copy="#id" copies the text of that element. */
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.textContent = "Copied";
  } catch {
    window.getSelection().selectAllChildren(source);
    button.textContent = "Selected: press Ctrl+C";
  }
});
